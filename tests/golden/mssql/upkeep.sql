SELECT
  t.name,
  SUM(a.total_pages) * 8192,
  SUM(a.total_pages - a.used_pages) * 8192
FROM sys.tables AS t
JOIN sys.partitions AS p
  ON p.object_id = t.object_id
JOIN sys.allocation_units AS a
  ON a.container_id = CASE WHEN a.type = 2 THEN p.partition_id ELSE p.hobt_id END
WHERE
  t.schema_id = SCHEMA_ID()
GROUP BY
  t.name;

SELECT
  COALESCE(SUM(p.modification_counter), 0),
  COUNT(*),
  COALESCE(SUM(p.rows), 0)
FROM sys.stats AS s
JOIN sys.tables AS t
  ON t.object_id = s.object_id CROSS APPLY sys.dm_db_stats_properties(s.object_id, s.stats_id) AS p
WHERE
  t.schema_id = SCHEMA_ID();

ALTER TABLE part REBUILD;

ALTER INDEX ALL ON part REORGANIZE WITH (LOB_COMPACTION = ON);

-- str
SET NOCOUNT ON; DECLARE @taken int; EXEC @taken = sp_getapplock @Resource = ?, @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 0; SELECT CASE WHEN @taken >= 0 THEN 1 ELSE 0 END;

-- str
SELECT
  CASE WHEN APPLOCK_TEST('public', ?, 'Exclusive', 'Session') = 0 THEN 1 ELSE 0 END;
