SELECT
TOP 0
  name
FROM sys.objects;

-- str as SQL_WVARCHAR, str as SQL_WVARCHAR(max)
INSERT INTO project (
  id,
  name
)
VALUES
  (?, ?);

-- str as SQL_WVARCHAR, str as SQL_WVARCHAR, NoneType as SQL_WVARCHAR, str as SQL_WVARCHAR(max), NoneType as SQL_WVARCHAR(max), float, int, int
INSERT INTO session (
  id,
  project_id,
  parent_id,
  title,
  share_url,
  cost,
  time_created,
  time_updated
)
VALUES
  (?, ?, ?, ?, ?, ?, ?, ?);

-- str as SQL_WVARCHAR, str as SQL_WVARCHAR, int, int, str as SQL_WVARCHAR(max)
INSERT INTO message (
  id,
  session_id,
  time_created,
  time_updated,
  data
)
VALUES
  (?, ?, ?, ?, ?);

-- str as SQL_WVARCHAR, str as SQL_WVARCHAR, str as SQL_WVARCHAR, int, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR, str as SQL_WVARCHAR, str as SQL_WVARCHAR, int, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR, str as SQL_WVARCHAR, str as SQL_WVARCHAR, int, int, str as SQL_WVARCHAR(max)
INSERT INTO part (
  id,
  message_id,
  session_id,
  time_created,
  time_updated,
  data
)
VALUES
  (?, ?, ?, ?, ?, CAST(? COLLATE Latin1_General_100_CI_AS_SC_UTF8 AS VARCHAR(MAX))),
  (?, ?, ?, ?, ?, CAST(? COLLATE Latin1_General_100_CI_AS_SC_UTF8 AS VARCHAR(MAX))),
  (?, ?, ?, ?, ?, CAST(? COLLATE Latin1_General_100_CI_AS_SC_UTF8 AS VARCHAR(MAX)));

-- str as SQL_WVARCHAR, int
INSERT INTO event_sequence (
  aggregate_id,
  seq
)
VALUES
  (?, ?);

-- str as SQL_WVARCHAR, str as SQL_WVARCHAR, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR, str as SQL_WVARCHAR, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR, str as SQL_WVARCHAR, int, str as SQL_WVARCHAR(max)
INSERT INTO event (
  id,
  aggregate_id,
  seq,
  data
)
VALUES
  (?, ?, ?, ?),
  (?, ?, ?, ?),
  (?, ?, ?, ?);

SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;

SELECT
  1;

-- int, int, int, int, int, int, int, int
SELECT
  session.id,
  COUNT(*) AS count_1,
  CAST(SUM(
    COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(session.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(session.project_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(session.parent_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(session.title AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(session.share_url AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(CAST(session.cost AS NVARCHAR(MAX)) AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(CAST(session.time_created AS NVARCHAR(MAX)) AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(CAST(session.time_updated AS NVARCHAR(MAX)) AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    )
  ) AS BIGINT) AS sum_1,
  MAX(session.time_updated) AS max_1
FROM session
GROUP BY
  session.id;

-- int, int, int, int, int
SELECT
  message.session_id,
  COUNT(*) AS count_1,
  CAST(SUM(
    COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(message.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(message.session_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(CAST(message.time_created AS NVARCHAR(MAX)) AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(CAST(message.time_updated AS NVARCHAR(MAX)) AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(message.data AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    )
  ) AS BIGINT) AS sum_1,
  MAX(message.time_updated) AS max_1
FROM message
GROUP BY
  message.session_id;

-- int, int, int, int, int, int
SELECT
  part.session_id,
  COUNT(*) AS count_1,
  CAST(SUM(
    COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(part.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(part.message_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(part.session_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(CAST(part.time_created AS NVARCHAR(MAX)) AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(CAST(part.time_updated AS NVARCHAR(MAX)) AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(CAST(DATALENGTH(part.data) AS BIGINT), ?)
  ) AS BIGINT) AS sum_1,
  MAX(part.time_updated) AS max_1
FROM part
GROUP BY
  part.session_id;

-- int, int
SELECT
  session_share.session_id,
  COUNT(*) AS count_1,
  CAST(SUM(
    COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(session_share.session_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(session_share.url AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    )
  ) AS BIGINT) AS sum_1,
  CAST(NULL AS BIGINT) AS anon_1
FROM session_share
GROUP BY
  session_share.session_id;

-- int, int
SELECT
  event_sequence.aggregate_id,
  COUNT(*) AS count_1,
  CAST(SUM(
    COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(event_sequence.aggregate_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(CAST(event_sequence.seq AS NVARCHAR(MAX)) AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    )
  ) AS BIGINT) AS sum_1,
  CAST(NULL AS BIGINT) AS anon_1
FROM event_sequence
GROUP BY
  event_sequence.aggregate_id;

-- int, int, int, int
SELECT
  event.aggregate_id,
  COUNT(*) AS count_1,
  CAST(SUM(
    COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(event.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(event.aggregate_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(CAST(event.seq AS NVARCHAR(MAX)) AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    ) + COALESCE(
      CAST(DATALENGTH(
        CAST(CAST(event.data AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT),
      ?
    )
  ) AS BIGINT) AS sum_1,
  CAST(NULL AS BIGINT) AS anon_1
FROM event
GROUP BY
  event.aggregate_id;

-- int, int, int, int, int
SELECT
  session.id,
  session.parent_id,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(session.title AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN session.title
  END AS anon_1,
  session.time_created,
  CASE
    WHEN (
      COALESCE(
        CAST(DATALENGTH(
          CAST(CAST(session.share_url AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
        ) AS BIGINT),
        ?
      ) > ?
    )
    THEN ?
    ELSE ?
  END AS anon_2
FROM session;

-- int, int, int, int, int, str as SQL_WVARCHAR, int
SELECT
  session.id AS id_1,
  CAST(DATALENGTH(
    CAST(CAST(session.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_1,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(session.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(session.id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_2,
  CAST(DATALENGTH(
    CAST(CAST(session.project_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_3,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(session.project_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(session.project_id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_4,
  CAST(DATALENGTH(
    CAST(CAST(session.parent_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_5,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(session.parent_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(session.parent_id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_6,
  CAST(DATALENGTH(
    CAST(CAST(session.title AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_7,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(session.title AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(session.title AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_8,
  CAST(DATALENGTH(
    CAST(CAST(session.share_url AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_9,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(session.share_url AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(session.share_url AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_10,
  session.cost AS anon_11,
  session.time_created AS time_created_1,
  session.time_updated AS time_updated_1,
  session.id AS id_2
FROM session
WHERE
  session.id = ?
ORDER BY
  session.id
OFFSET 0 ROWS
FETCH FIRST ? ROWS ONLY;

-- int, int, int, str as SQL_WVARCHAR, int
SELECT
  message.id AS id_1,
  CAST(DATALENGTH(
    CAST(CAST(message.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_1,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(message.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(message.id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_2,
  CAST(DATALENGTH(
    CAST(CAST(message.session_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_3,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(message.session_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(message.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_4,
  message.time_created AS time_created_1,
  message.time_updated AS time_updated_1,
  CAST(DATALENGTH(
    CAST(CAST(message.data AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_5,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(message.data AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(message.data AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_6,
  message.session_id AS session_id_1
FROM message
WHERE
  message.session_id = ?
ORDER BY
  message.id
OFFSET 0 ROWS
FETCH FIRST ? ROWS ONLY;

-- int, int, int, int, str as SQL_WVARCHAR, int
SELECT
  part.id AS id_1,
  CAST(DATALENGTH(
    CAST(CAST(part.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_1,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(part.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(part.id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_2,
  CAST(DATALENGTH(
    CAST(CAST(part.message_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_3,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(part.message_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(part.message_id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_4,
  CAST(DATALENGTH(
    CAST(CAST(part.session_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_5,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(part.session_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(part.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_6,
  part.time_created AS time_created_1,
  part.time_updated AS time_updated_1,
  CAST(DATALENGTH(part.data) AS BIGINT) AS anon_7,
  CASE
    WHEN (
      CAST(DATALENGTH(part.data) AS BIGINT) <= ?
    )
    THEN CAST(CAST(part.data AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_8,
  part.session_id AS session_id_1
FROM part
WHERE
  part.session_id = ?
ORDER BY
  part.id
OFFSET 0 ROWS
FETCH FIRST ? ROWS ONLY;

-- int, int, str as SQL_WVARCHAR, int
SELECT
  session_share.session_id AS session_id_1,
  CAST(DATALENGTH(
    CAST(CAST(session_share.session_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_1,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(session_share.session_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(session_share.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_2,
  CAST(DATALENGTH(
    CAST(CAST(session_share.url AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_3,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(session_share.url AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(session_share.url AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_4,
  session_share.session_id AS session_id_2
FROM session_share
WHERE
  session_share.session_id = ?
ORDER BY
  session_share.session_id
OFFSET 0 ROWS
FETCH FIRST ? ROWS ONLY;

-- int, str as SQL_WVARCHAR, int
SELECT
  event_sequence.aggregate_id AS aggregate_id_1,
  CAST(DATALENGTH(
    CAST(CAST(event_sequence.aggregate_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_1,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(event_sequence.aggregate_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(event_sequence.aggregate_id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_2,
  event_sequence.seq AS seq_1,
  event_sequence.aggregate_id AS aggregate_id_2
FROM event_sequence
WHERE
  event_sequence.aggregate_id = ?
ORDER BY
  event_sequence.aggregate_id
OFFSET 0 ROWS
FETCH FIRST ? ROWS ONLY;

-- int, int, int, str as SQL_WVARCHAR, int
SELECT
  event.id AS id_1,
  CAST(DATALENGTH(
    CAST(CAST(event.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_1,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(event.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(event.id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_2,
  CAST(DATALENGTH(
    CAST(CAST(event.aggregate_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_3,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(event.aggregate_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(event.aggregate_id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_4,
  event.seq AS seq_1,
  CAST(DATALENGTH(
    CAST(CAST(event.data AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_5,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(event.data AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(event.data AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_6,
  event.aggregate_id AS aggregate_id_1
FROM event
WHERE
  event.aggregate_id = ?
ORDER BY
  event.id
OFFSET 0 ROWS
FETCH FIRST ? ROWS ONLY;

-- int, int, int, int, int, str as SQL_WVARCHAR
SELECT
  part.id AS id_1,
  CAST(DATALENGTH(
    CAST(CAST(part.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_1,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(part.id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(part.id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_2,
  CAST(DATALENGTH(
    CAST(CAST(part.message_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_3,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(part.message_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(part.message_id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_4,
  CAST(DATALENGTH(
    CAST(CAST(part.session_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ) AS BIGINT) AS anon_5,
  CASE
    WHEN (
      CAST(DATALENGTH(
        CAST(CAST(part.session_id AS NVARCHAR(MAX)) COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
      ) AS BIGINT) <= ?
    )
    THEN CAST(CAST(part.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_6,
  part.time_created AS time_created_1,
  part.time_updated AS time_updated_1,
  CAST(DATALENGTH(part.data) AS BIGINT) AS anon_7,
  CASE
    WHEN (
      CAST(DATALENGTH(part.data) AS BIGINT) <= ?
    )
    THEN CAST(CAST(part.data AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_8,
  ? AS anon_9
FROM part
WHERE
  part.id = ?;

-- str as SQL_WVARCHAR
SELECT
  session.id,
  session.parent_id
FROM session
WHERE
  session.parent_id IN (?);

-- int, str as SQL_WVARCHAR
SELECT
TOP 1
  ? AS anon_1
FROM session
WHERE
  session.id = ?
  AND CAST(CAST(session.id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500;

-- int, str as SQL_WVARCHAR(max), int, str as SQL_WVARCHAR(max)
SELECT DISTINCT
  part.session_id
FROM part
WHERE
  (
    LOWER(CASE WHEN (
      CAST(DATALENGTH(part.data) AS BIGINT) <= ?
    ) THEN part.data END) LIKE '%' + LOWER(CAST(? COLLATE Latin1_General_100_CI_AS_SC_UTF8 AS VARCHAR(MAX))) + '%' ESCAPE '/'
  )
  AND (
    CASE WHEN (
      CAST(DATALENGTH(part.data) AS BIGINT) <= ?
    ) THEN part.data END LIKE '%' + CAST(? COLLATE Latin1_General_100_CI_AS_SC_UTF8 AS VARCHAR(MAX)) + '%' ESCAPE '/'
  );

-- str as SQL_WVARCHAR
SELECT
  COUNT(*) AS count_1
FROM event
WHERE
  event.aggregate_id = ?
  AND CAST(CAST(event.aggregate_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500;

-- str as SQL_WVARCHAR
SELECT
  COUNT(*) AS count_1
FROM event_sequence
WHERE
  event_sequence.aggregate_id = ?
  AND CAST(CAST(event_sequence.aggregate_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500;

-- str as SQL_WVARCHAR
SELECT
  COUNT(*) AS count_1
FROM session_share
WHERE
  session_share.session_id = ?
  AND CAST(CAST(session_share.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500;

-- str as SQL_WVARCHAR
SELECT
  COUNT(*) AS count_1
FROM part
WHERE
  part.session_id = ?
  AND CAST(CAST(part.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500;

-- str as SQL_WVARCHAR
SELECT
  COUNT(*) AS count_1
FROM message
WHERE
  message.session_id = ?
  AND CAST(CAST(message.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500;

-- str as SQL_WVARCHAR
SELECT
  COUNT(*) AS count_1
FROM session
WHERE
  session.id = ?
  AND CAST(CAST(session.id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500;

SELECT
  OBJECT_NAME(t.parent_id),
  t.name
FROM sys.triggers AS t
JOIN sys.trigger_events AS e
  ON e.object_id = t.object_id
WHERE
  e.type_desc = 'DELETE' AND t.parent_id <> 0;

-- str as SQL_WVARCHAR, str as SQL_WVARCHAR
SELECT
TOP 1
  child.id,
  child.session_id
FROM message AS parent
JOIN part AS child
  ON child.message_id = parent.id
WHERE
  parent.session_id = ?
  AND CAST(CAST(parent.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500
  AND (
    child.session_id IS NULL
    OR NOT (
      child.session_id = ?
      AND CAST(CAST(child.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500
    )
  );

-- str as SQL_WVARCHAR
DELETE FROM event
WHERE
  event.aggregate_id = ?
  AND CAST(CAST(event.aggregate_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500;

-- str as SQL_WVARCHAR
DELETE FROM event_sequence
WHERE
  event_sequence.aggregate_id = ?
  AND CAST(CAST(event_sequence.aggregate_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500;

-- str as SQL_WVARCHAR
DELETE FROM session_share
WHERE
  session_share.session_id = ?
  AND CAST(CAST(session_share.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500;

-- str as SQL_WVARCHAR
DELETE FROM part
WHERE
  part.session_id = ?
  AND CAST(CAST(part.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500;

-- str as SQL_WVARCHAR
DELETE FROM message
WHERE
  message.session_id = ?
  AND CAST(CAST(message.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500;

-- str as SQL_WVARCHAR
DELETE FROM session
WHERE
  session.id = ?
  AND CAST(CAST(session.id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x6f006e006500;

-- str as SQL_WVARCHAR, str as SQL_WVARCHAR
SELECT
TOP 1
  child.id,
  child.session_id
FROM message AS parent
JOIN part AS child
  ON child.message_id = parent.id
WHERE
  parent.session_id = ?
  AND CAST(CAST(parent.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00
  AND (
    child.session_id IS NULL
    OR NOT (
      child.session_id = ?
      AND CAST(CAST(child.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00
    )
  );

-- str as SQL_WVARCHAR
SELECT
  COUNT(*) AS count_1
FROM session
WHERE
  session.id = ?
  AND CAST(CAST(session.id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00;

-- str as SQL_WVARCHAR
SELECT
  COUNT(*) AS count_1
FROM message
WHERE
  message.session_id = ?
  AND CAST(CAST(message.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00;

-- str as SQL_WVARCHAR
SELECT
  COUNT(*) AS count_1
FROM part
WHERE
  part.session_id = ?
  AND CAST(CAST(part.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00;

-- str as SQL_WVARCHAR
SELECT
  COUNT(*) AS count_1
FROM session_share
WHERE
  session_share.session_id = ?
  AND CAST(CAST(session_share.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00;

-- str as SQL_WVARCHAR
SELECT
  COUNT(*) AS count_1
FROM event_sequence
WHERE
  event_sequence.aggregate_id = ?
  AND CAST(CAST(event_sequence.aggregate_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00;

-- str as SQL_WVARCHAR
SELECT
  COUNT(*) AS count_1
FROM event
WHERE
  event.aggregate_id = ?
  AND CAST(CAST(event.aggregate_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00;

-- str as SQL_WVARCHAR
DELETE FROM event
WHERE
  event.aggregate_id = ?
  AND CAST(CAST(event.aggregate_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00;

-- str as SQL_WVARCHAR
DELETE FROM event_sequence
WHERE
  event_sequence.aggregate_id = ?
  AND CAST(CAST(event_sequence.aggregate_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00;

-- str as SQL_WVARCHAR
DELETE FROM session_share
WHERE
  session_share.session_id = ?
  AND CAST(CAST(session_share.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00;

-- str as SQL_WVARCHAR
DELETE FROM part
WHERE
  part.session_id = ?
  AND CAST(CAST(part.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00;

-- str as SQL_WVARCHAR
DELETE FROM message
WHERE
  message.session_id = ?
  AND CAST(CAST(message.session_id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00;

-- str as SQL_WVARCHAR
DELETE FROM session
WHERE
  session.id = ?
  AND CAST(CAST(session.id AS NVARCHAR(MAX)) AS VARBINARY(MAX)) = 0x740077006f00;

-- str as SQL_WVARCHAR, str as SQL_WVARCHAR, str as SQL_WVARCHAR, int, int, str as SQL_WVARCHAR(max)
INSERT INTO part (
  id,
  message_id,
  session_id,
  time_created,
  time_updated,
  data
)
VALUES
  (?, ?, ?, ?, ?, CAST(? COLLATE Latin1_General_100_CI_AS_SC_UTF8 AS VARCHAR(MAX)));

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

-- str as SQL_WVARCHAR
UPDATE part SET data = (
  SELECT
    [#ocblob_value].value
  FROM [#ocblob_value]
)
WHERE
  part.id IN (?);

DROP TABLE [#ocblob_value];

-- str as SQL_WVARCHAR, str as SQL_WVARCHAR, int, str as SQL_WVARCHAR(max)
INSERT INTO event (
  id,
  aggregate_id,
  seq,
  data
)
VALUES
  (?, ?, ?, ?);

-- str as SQL_WVARCHAR
UPDATE event SET data = (
  SELECT
    [#ocblob_value].value
  FROM [#ocblob_value]
)
WHERE
  event.id IN (?);
