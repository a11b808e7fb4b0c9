"""Who somebody is, on the page: accounts, sessions, peers, forms."""
