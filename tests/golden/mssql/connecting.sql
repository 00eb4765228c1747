SELECT
  CAST(SERVERPROPERTY('ProductVersion') AS VARCHAR);

SELECT
  SCHEMA_NAME();

SELECT
  name
FROM sys.system_views
WHERE
  name IN ('dm_exec_sessions', 'dm_pdw_nodes_exec_sessions');

SELECT
  CASE transaction_isolation_level
    WHEN 0
    THEN NULL
    WHEN 1
    THEN 'READ UNCOMMITTED'
    WHEN 2
    THEN 'READ COMMITTED'
    WHEN 3
    THEN 'REPEATABLE READ'
    WHEN 4
    THEN 'SERIALIZABLE'
    WHEN 5
    THEN 'SNAPSHOT'
  END AS TRANSACTION_ISOLATION_LEVEL
FROM sys.dm_exec_sessions
WHERE
  session_id = @@SPID;

SELECT
  CAST('test max support' AS NVARCHAR(MAX));

SELECT
  1
FROM FN_LISTEXTENDEDPROPERTY(default, default, default, default, default, default, default);

SET LOCK_TIMEOUT 5000;

SET DEADLOCK_PRIORITY LOW;

SET XACT_ABORT OFF;

SET NOCOUNT OFF;

SELECT
  CAST(SERVERPROPERTY('ProductMajorVersion') AS INTEGER),
  CAST(SERVERPROPERTY('EngineEdition') AS INTEGER);

SELECT
  delayed_durability_desc
FROM sys.databases
WHERE
  database_id = DB_ID();

SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
