"""Setting a host up: what `gate init` is told, what it makes of it, and what there is to make."""
