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

-- int
SELECT
TOP 500
  doc.id,
  CAST(DATALENGTH(doc.raw) AS BIGINT) AS ocblob_size
FROM doc
WHERE
  CAST(DATALENGTH(doc.raw) AS BIGINT) > ?
ORDER BY
  doc.id;

-- int, str as SQL_WVARCHAR, str as SQL_WVARCHAR
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
  AND (
    doc.session_id = ?
    AND CAST(CAST(doc.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x73003000
    OR doc.session_id = ?
    AND CAST(CAST(doc.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x73003100
  )
ORDER BY
  doc.id;

-- int, int, int
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
  AND (
    NOT doc.session_id IN (
      SELECT
        newest.id
      FROM (
        SELECT
        TOP 1
          talk.id AS id
        FROM talk
        ORDER BY
          CASE WHEN (
            talk.time_updated IS NULL
          ) THEN ? ELSE ? END,
          talk.time_updated DESC,
          talk.id DESC
      ) AS newest
    )
  )
ORDER BY
  doc.id;

-- int, int
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
  AND doc.time_updated < ?
ORDER BY
  doc.id;

-- int, str as SQL_WVARCHAR
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
  AND doc.session_id = ?
  AND CAST(CAST(doc.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x73003000
ORDER BY
  doc.id;

-- int, str as SQL_WVARCHAR, str as SQL_WVARCHAR
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
  AND doc.id > ?
  AND doc.id <= ?
ORDER BY
  doc.id;

-- int, int
SELECT
TOP 500
  doc.id,
  CAST(DATALENGTH(doc.raw) AS BIGINT) AS ocblob_size
FROM doc
WHERE
  CAST(DATALENGTH(doc.raw) AS BIGINT) > ?
  AND (
    NOT doc.session_id IN (
      SELECT
        talk.id
      FROM talk
      WHERE
        talk.time_updated >= ?
    )
  )
ORDER BY
  doc.id;

-- int, int
SELECT
  COUNT(*) AS count_1,
  COALESCE(
    SUM(
      CAST(DATALENGTH(
        CAST(CAST(doc.body AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT)
    ),
    ?
  ) AS coalesce_1
FROM doc
WHERE
  CAST(DATALENGTH(
    CAST(CAST(doc.body AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) > ?;

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

-- str as SQL_WVARCHAR
SELECT
  doc.session_id
FROM doc
WHERE
  doc.id = ?;

-- int, str as SQL_WVARCHAR
SELECT
  ? AS anon_1
FROM doc
WHERE
  doc.id = ? AND NOT doc.body IS NULL;

SELECT
  talk.id,
  talk.time_updated
FROM talk;

-- int, int, int
SELECT
  COUNT(*) AS count_1,
  COALESCE(
    SUM(
      ? + COALESCE(
        CAST(DATALENGTH(
          CAST(CAST(talk.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
        ) AS BIGINT),
        ?
      )
    ),
    ?
  ) AS coalesce_1
FROM talk;

-- int, int, int, int, int, int
SELECT
  COUNT(*) AS count_1,
  COALESCE(
    SUM(
      ? + COALESCE(
        CAST(DATALENGTH(
          CAST(CAST(doc.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
        ) AS BIGINT),
        ?
      ) + COALESCE(
        CAST(DATALENGTH(
          CAST(CAST(doc.session_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
        ) AS BIGINT),
        ?
      ) + COALESCE(
        CAST(DATALENGTH(
          CAST(CAST(doc.body AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
        ) AS BIGINT),
        ?
      ) + COALESCE(CAST(DATALENGTH(doc.raw) AS BIGINT), ?)
    ),
    ?
  ) AS coalesce_1
FROM doc;

-- int, int, int, int
SELECT
  COUNT(*) AS count_1,
  COALESCE(
    SUM(
      ? + COALESCE(
        CAST(DATALENGTH(
          CAST(CAST(pair.a AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
        ) AS BIGINT),
        ?
      ) + COALESCE(
        CAST(DATALENGTH(
          CAST(CAST(pair.body AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
        ) AS BIGINT),
        ?
      )
    ),
    ?
  ) AS coalesce_1
FROM pair;
