"""One whole pass over a database by the configuration: offload, retain, evict, prune, vacuum, warn."""
