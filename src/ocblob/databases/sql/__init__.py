"""Databases on servers, through SQLAlchemy Core: PostgreSQL, MySQL and MariaDB, SQL Server.

SQLAlchemy and a driver are loaded when a URL is opened, by `databases.opening`, and by nobody else.
"""
