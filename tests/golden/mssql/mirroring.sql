SELECT
TOP 0
  name
FROM sys.objects;

CREATE TABLE ocblob_mirror (
  format BIGINT NOT NULL,
  created_ms BIGINT NULL,
  PRIMARY KEY (format)
);

-- int, bigint
INSERT INTO ocblob_mirror (
  format,
  created_ms
)
VALUES
  (?, ?);

CREATE TABLE ocblob_table (
  table_name VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  definition VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  PRIMARY KEY (table_name)
);

CREATE TABLE ocblob_session (
  session VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  digest VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  row_count BIGINT NULL,
  source_row_count BIGINT NULL,
  source_size BIGINT NULL,
  source_used_ms BIGINT NULL,
  origin VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  mirrored_at_ms BIGINT NULL,
  table_columns VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  PRIMARY KEY (session)
);

CREATE TABLE ocblob_odd_cell (
  table_name VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  row_digest VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  column_name VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  kind VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  content VARBINARY(MAX) NULL,
  PRIMARY KEY (table_name, row_digest, column_name)
);

-- str as SQL_WVARCHAR
DELETE FROM ocblob_table
WHERE
  ocblob_table.table_name = ?;

-- str as SQL_WVARCHAR, str as SQL_WVARCHAR(max)
INSERT INTO ocblob_table (
  table_name,
  definition
)
VALUES
  (?, ?);

CREATE TABLE project (
  id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  name VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  ocblob_rowid BIGINT NULL,
  ocblob_digest VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  PRIMARY KEY (id)
);

CREATE TABLE session (
  id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  project_id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  parent_id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  title VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  share_url VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  cost FLOAT(53) NULL,
  time_created BIGINT NULL,
  time_updated BIGINT NULL,
  ocblob_rowid BIGINT NULL,
  ocblob_digest VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  PRIMARY KEY (id)
);

CREATE INDEX ocblob_session_project_id ON session(project_id, ocblob_rowid);

CREATE INDEX ocblob_session_parent_id ON session(parent_id, ocblob_rowid);

CREATE TABLE message (
  id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  session_id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  time_created BIGINT NULL,
  time_updated BIGINT NULL,
  data VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  ocblob_rowid BIGINT NULL,
  ocblob_digest VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  PRIMARY KEY (id)
);

CREATE INDEX ocblob_message_session_id ON message(session_id, ocblob_rowid);

CREATE TABLE part (
  id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  message_id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  session_id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  time_created BIGINT NULL,
  time_updated BIGINT NULL,
  data VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  ocblob_rowid BIGINT NULL,
  ocblob_digest VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  PRIMARY KEY (id)
);

CREATE INDEX ocblob_part_message_id ON part(message_id, ocblob_rowid);

CREATE INDEX ocblob_part_session_id ON part(session_id, ocblob_rowid);

CREATE TABLE session_share (
  session_id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  url VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  ocblob_rowid BIGINT NULL,
  ocblob_digest VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  PRIMARY KEY (session_id)
);

CREATE TABLE event_sequence (
  aggregate_id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  seq BIGINT NULL,
  ocblob_rowid BIGINT NULL,
  ocblob_digest VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  PRIMARY KEY (aggregate_id)
);

CREATE TABLE event (
  id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  aggregate_id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  seq BIGINT NULL,
  data VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  ocblob_rowid BIGINT NULL,
  ocblob_digest VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  PRIMARY KEY (id)
);

CREATE INDEX ocblob_event_aggregate_id ON event(aggregate_id, ocblob_rowid);

CREATE TABLE kinds (
  id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  session_id VARCHAR(850) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  words VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  number BIGINT NULL,
  share FLOAT(53) NULL,
  anything VARBINARY(MAX) NULL,
  ocblob_rowid BIGINT NULL,
  ocblob_digest VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  PRIMARY KEY (id)
);

CREATE INDEX ocblob_kinds_session_id ON kinds(session_id, ocblob_rowid);

UPDATE ocblob_mirror SET created_ms = ocblob_mirror.created_ms
WHERE
  0 = 1;

SELECT
  ocblob_mirror.format
FROM ocblob_mirror;

SELECT
  ocblob_table.table_name,
  ocblob_table.definition
FROM ocblob_table;

ALTER TABLE part
ADD gained VARBINARY(MAX) NULL;

-- int, quoted_name as SQL_WVARCHAR
SELECT
TOP 1
  ? AS anon_1
FROM ocblob_odd_cell
WHERE
  ocblob_odd_cell.table_name = ?;

-- str as SQL_WVARCHAR(max)
DELETE FROM session
WHERE
  session.id IN (CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)));

-- str as SQL_WVARCHAR(max)
DELETE FROM message
WHERE
  message.id IN (CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)));

-- str as SQL_WVARCHAR(max)
DELETE FROM part
WHERE
  part.id IN (CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)));

-- str as SQL_WVARCHAR(max)
DELETE FROM event_sequence
WHERE
  event_sequence.aggregate_id IN (CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)));

-- str as SQL_WVARCHAR(max)
DELETE FROM event
WHERE
  event.id IN (CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)));

-- str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType as SQL_WVARCHAR(max), float, int, int, NoneType, str as SQL_WVARCHAR(max)
INSERT INTO session (
  id,
  project_id,
  parent_id,
  title,
  share_url,
  cost,
  time_created,
  time_updated,
  ocblob_rowid,
  ocblob_digest
)
VALUES
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  );

-- str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, int, str as SQL_WVARCHAR(max), NoneType, str as SQL_WVARCHAR(max)
INSERT INTO message (
  id,
  session_id,
  time_created,
  time_updated,
  data,
  ocblob_rowid,
  ocblob_digest
)
VALUES
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  );

-- str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, int, str as SQL_WVARCHAR(max), NoneType, str as SQL_WVARCHAR(max)
INSERT INTO part (
  id,
  message_id,
  session_id,
  time_created,
  time_updated,
  data,
  ocblob_rowid,
  ocblob_digest
)
VALUES
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  );

-- str as SQL_WVARCHAR(max), int, NoneType, str as SQL_WVARCHAR(max)
INSERT INTO event_sequence (
  aggregate_id,
  seq,
  ocblob_rowid,
  ocblob_digest
)
VALUES
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  );

-- str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, str as SQL_WVARCHAR(max), NoneType, str as SQL_WVARCHAR(max)
INSERT INTO event (
  id,
  aggregate_id,
  seq,
  data,
  ocblob_rowid,
  ocblob_digest
)
VALUES
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  );

-- str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max)
DELETE FROM kinds
WHERE
  kinds.id IN (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  );

-- str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), bigint, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), bigint, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), NoneType, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, NoneType, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, NoneType, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, NoneType, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, NoneType, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, NoneType, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, NoneType, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, NoneType, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, NoneType, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, NoneType, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, NoneType, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, NoneType, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, NoneType, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, BinaryNull, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, bytes, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, bytes, int, str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), str as SQL_WVARCHAR(max), int, float, bytes, int, str as SQL_WVARCHAR(max)
INSERT INTO kinds (
  id,
  session_id,
  words,
  number,
  share,
  anything,
  ocblob_rowid,
  ocblob_digest
)
VALUES
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  ),
  (
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX)),
    ?,
    ?,
    ?,
    ?,
    CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
  );

-- quoted_name as SQL_WVARCHAR, str as SQL_WVARCHAR, quoted_name as SQL_WVARCHAR, str as SQL_WVARCHAR, bytes
INSERT INTO ocblob_odd_cell (
  table_name,
  row_digest,
  column_name,
  kind,
  content
)
VALUES
  (?, ?, ?, ?, ?);

-- str as SQL_WVARCHAR(max), int, int, int
SELECT
  part.ocblob_rowid AS ocblob_rowid_1,
  part.id AS id_1,
  part.ocblob_digest,
  part.session_id AS session_id_1
FROM part
WHERE
  part.session_id = CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
ORDER BY
  CASE WHEN (
    part.ocblob_rowid IS NULL
  ) THEN ? ELSE ? END,
  part.ocblob_rowid,
  part.id
OFFSET 0 ROWS
FETCH FIRST ? ROWS ONLY;

-- str as SQL_WVARCHAR
DELETE FROM ocblob_session
WHERE
  ocblob_session.session IN (?);

-- str as SQL_WVARCHAR, str as SQL_WVARCHAR, int, int, bigint, bigint, str as SQL_WVARCHAR(max), int, str as SQL_WVARCHAR(max)
INSERT INTO ocblob_session (
  session,
  digest,
  row_count,
  source_row_count,
  source_size,
  source_used_ms,
  origin,
  mirrored_at_ms,
  table_columns
)
VALUES
  (?, ?, ?, ?, ?, ?, ?, ?, ?);

SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;

SELECT
  1;

SELECT
  ocblob_session.session,
  ocblob_session.digest,
  ocblob_session.row_count,
  ocblob_session.source_row_count,
  ocblob_session.source_size,
  ocblob_session.source_used_ms,
  ocblob_session.origin,
  ocblob_session.mirrored_at_ms,
  ocblob_session.table_columns
FROM ocblob_session
ORDER BY
  ocblob_session.session;

-- int
SELECT
TOP 1
  ? AS anon_1
FROM ocblob_odd_cell;

-- int, str as SQL_WVARCHAR
SELECT
TOP 1
  ? AS anon_1
FROM ocblob_odd_cell
WHERE
  ocblob_odd_cell.table_name = ?;

-- int, int, int, str as SQL_WVARCHAR(max), int, int, int
SELECT
  event.ocblob_rowid AS ocblob_rowid_1,
  event.id AS id_1,
  CAST(DATALENGTH(event.id) AS BIGINT) AS anon_1,
  CASE
    WHEN (
      CAST(DATALENGTH(event.id) AS BIGINT) <= ?
    )
    THEN CAST(CAST(event.id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_2,
  CAST(DATALENGTH(event.aggregate_id) AS BIGINT) AS anon_3,
  CASE
    WHEN (
      CAST(DATALENGTH(event.aggregate_id) AS BIGINT) <= ?
    )
    THEN CAST(CAST(event.aggregate_id AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_4,
  event.seq AS seq_1,
  CAST(DATALENGTH(event.data) AS BIGINT) AS anon_5,
  CASE
    WHEN (
      CAST(DATALENGTH(event.data) AS BIGINT) <= ?
    )
    THEN CAST(CAST(event.data AS NVARCHAR(MAX)) AS VARBINARY(MAX))
  END AS anon_6,
  event.aggregate_id AS aggregate_id_1
FROM event
WHERE
  event.aggregate_id = CAST(? COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(MAX))
ORDER BY
  CASE WHEN (
    event.ocblob_rowid IS NULL
  ) THEN ? ELSE ? END,
  event.ocblob_rowid,
  event.id
OFFSET 0 ROWS
FETCH FIRST ? ROWS ONLY;
