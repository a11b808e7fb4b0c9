"""Setting a host up: the answers to `gate init`, what it makes of them, and what there is to make."""
