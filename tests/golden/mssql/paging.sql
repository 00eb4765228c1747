-- int, str as SQL_WVARCHAR, str as SQL_WVARCHAR, int
SELECT
TOP 500
  pair.a,
  pair.b,
  CAST(DATALENGTH(
    CAST(CAST(pair.body AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS ocblob_size
FROM pair
WHERE
  CAST(DATALENGTH(
    CAST(CAST(pair.body AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) > ?
  AND (
    pair.a > ? OR pair.a = ? AND pair.b > ?
  )
ORDER BY
  pair.a,
  pair.b;
