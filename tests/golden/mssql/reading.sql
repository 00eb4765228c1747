-- int
SELECT
TOP 500
  doc.id,
  CAST(DATALENGTH(
    CAST(CAST(doc.body AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS ocblob_size
FROM doc
WHERE
  CAST(DATALENGTH(
    CAST(CAST(doc.body AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) > ?
ORDER BY
  doc.id;

-- int, str as SQL_WVARCHAR, str as SQL_WVARCHAR, str as SQL_WVARCHAR
SELECT
  doc.id,
  NULL AS anon_1,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(doc.body AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(doc.body AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_2
FROM doc
WHERE
  doc.id IN (?, ?, ?);

-- str as SQL_WVARCHAR
SELECT
  doc.id,
  CAST(DATALENGTH(doc.raw) AS BIGINT) AS datalength_1
FROM doc
WHERE
  doc.id = ?
  AND CAST(CAST(doc.id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6b003100
  AND NOT doc.raw IS NULL;

SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;

SELECT
  1;

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
