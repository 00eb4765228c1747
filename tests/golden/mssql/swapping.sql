SELECT
TOP 0
  name
FROM sys.objects;

UPDATE doc SET body = doc.body
WHERE
  0 = 1;

-- str as SQL_WVARCHAR
SELECT
  doc.id,
  CAST(DATALENGTH(
    CAST(CAST(doc.body AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS datalength_1
FROM doc
WHERE
  doc.id = ?
  AND CAST(CAST(doc.id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6b003100
  AND NOT doc.body IS NULL;

SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;

SELECT
  1;

-- str as SQL_WVARCHAR
SELECT
  NULL AS anon_1,
  CAST(DATALENGTH(
    CAST(CAST(doc.body AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS datalength_1
FROM doc
WHERE
  doc.id = ?;

-- int, int, str as SQL_WVARCHAR
SELECT
  SUBSTRING(CAST(CAST(doc.body AS NVARCHAR(MAX)) AS VARBINARY(MAX)), ?, ?) AS substring_1
FROM doc
WHERE
  doc.id = ?;

-- str as SQL_WVARCHAR(max), str as SQL_WVARCHAR, bytes
UPDATE doc SET body = ?
WHERE
  doc.id = ?
  AND HASHBYTES('SHA2_256', CAST(CAST(doc.body AS NVARCHAR(MAX)) AS VARBINARY(MAX))) = ?;

-- str as SQL_WVARCHAR
SELECT
  doc.id,
  CAST(DATALENGTH(doc.raw) AS BIGINT) AS datalength_1
FROM doc
WHERE
  doc.id = ?
  AND CAST(CAST(doc.id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6b003100
  AND NOT doc.raw IS NULL;

-- str as SQL_WVARCHAR
SELECT
  NULL AS anon_1,
  CAST(DATALENGTH(doc.raw) AS BIGINT) AS datalength_1
FROM doc
WHERE
  doc.id = ?;

-- int, int, str as SQL_WVARCHAR
SELECT
  SUBSTRING(CAST(doc.raw AS VARBINARY(MAX)), ?, ?) AS substring_1
FROM doc
WHERE
  doc.id = ?;

-- bytes, str as SQL_WVARCHAR, bytes
UPDATE doc SET raw = ?
WHERE
  doc.id = ? AND HASHBYTES('SHA2_256', CAST(doc.raw AS VARBINARY(MAX))) = ?;

IF @@TRANCOUNT = 0 BEGIN TRANSACTION;

SAVE TRANSACTION sa_savepoint_1;

DROP TABLE IF EXISTS [#ocblob_value];

CREATE TABLE [#ocblob_value] (
  value NVARCHAR(MAX) COLLATE Latin1_General_100_BIN2 NOT NULL
);

-- str as SQL_WVARCHAR(max)
INSERT INTO [#ocblob_value] (
  value
)
VALUES
  (?);

-- str as SQL_WVARCHAR(max)
UPDATE [#ocblob_value] SET value = (
  [#ocblob_value].value + ?
);

-- str as SQL_WVARCHAR, bytes
UPDATE doc SET body = (
  SELECT
    [#ocblob_value].value
  FROM [#ocblob_value]
)
WHERE
  doc.id = ?
  AND HASHBYTES('SHA2_256', CAST(CAST(doc.body AS NVARCHAR(MAX)) AS VARBINARY(MAX))) = ?;

DROP TABLE [#ocblob_value];

-- str as SQL_WVARCHAR
SELECT
  CAST(DATALENGTH(
    CAST(CAST(doc.body AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS datalength_1
FROM doc
WHERE
  doc.id = ?;
