"""The keys of the configuration, what each may be, and what it is when nobody says."""

FILE_KEYS = ("store", "cache_size", "previews")
SESSION_KEYS: tuple[str, ...] = ()
