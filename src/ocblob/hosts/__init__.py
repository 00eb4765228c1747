"""What tables, rows and files mean to the app that owns them. Data and rules only: no I/O of its own."""
