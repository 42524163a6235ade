//! The tables of the SQLite destination as SQL text, and how an existing table is checked and widened.

use proto::dataset::{ACCOUNT, DIGEST, Dataset, Kind, TableColumn, VERSION};
use rusqlite::Connection;

use crate::sink::SinkError;

/// A name as SQL spells it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Timestamp | Kind::Json => "TEXT",
        Kind::Integer | Kind::Boolean => "INTEGER",
        Kind::Float => "REAL",
    }
}

/// The statements on one dataset's table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) dataset: &'static Dataset,
    pub(super) name: String,
    pub(super) columns: Vec<TableColumn>,
    /// All columns in order, doing nothing where the key is there already.
    pub(super) insert: String,
    /// All columns in order, then the row number.
    pub(super) update: String,
    /// Version, time of fetching, then the row number.
    pub(super) touch: String,
    /// Row number, version, time of fetching and digest, by key and account.
    pub(super) find: String,
    /// Where in `columns` the parameters of `find` stand.
    pub(super) key: Vec<usize>,
}

impl Table {
    pub(super) fn new(dataset: &'static Dataset, name: String) -> Table {
        let columns = dataset.table_columns();
        let table = quoted(&name);
        let names: Vec<String> = columns.iter().map(|column| quoted(column.name)).collect();
        let marks = vec!["?"; columns.len()].join(", ");
        let sets: Vec<String> = names.iter().map(|name| format!("{name} = ?")).collect();
        // The key first, the account last: most look-ups are decided by the key alone.
        let key_names: Vec<&str> = dataset.key.iter().copied().chain([ACCOUNT]).collect();
        let key = key_names.iter().filter_map(|name| columns.iter().position(|c| c.name == *name)).collect();
        let by_key: Vec<String> = key_names.iter().map(|name| format!("{} = ?", quoted(name))).collect();
        let (version, digest, fetched) = (quoted(VERSION), quoted(DIGEST), quoted(dataset.fetched_at));
        Table {
            insert: format!("INSERT INTO {table} ({}) VALUES ({marks}) ON CONFLICT DO NOTHING", names.join(", ")),
            update: format!("UPDATE {table} SET {} WHERE rowid = ?", sets.join(", ")),
            touch: format!("UPDATE {table} SET {version} = ?, {fetched} = ? WHERE rowid = ?"),
            find: format!("SELECT rowid, {version}, {fetched}, {digest} FROM {table} WHERE {}", by_key.join(" AND ")),
            dataset,
            name,
            columns,
            key,
        }
    }

    fn create(&self) -> String {
        let column = |c: &TableColumn| {
            format!("{} {}{}", quoted(c.name), type_of(c.kind), if c.required { " NOT NULL" } else { "" })
        };
        let columns: Vec<String> = self.columns.iter().map(column).collect();
        format!("CREATE TABLE {} ({})", quoted(&self.name), columns.join(", "))
    }

    /// The statement that makes rows unique by key and account, under a name that is free: a renamed table keeps the
    /// names of its indexes.
    fn create_key(&self, connection: &Connection) -> rusqlite::Result<String> {
        let names: Vec<String> = self.key.iter().map(|n| quoted(self.columns[*n].name)).collect();
        let mut is_taken = connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE")?;
        let mut index = format!("{}_key", self.name);
        let mut number = 1;
        while is_taken.exists([&index])? {
            number += 1;
            index = format!("{}_key_{number}", self.name);
        }
        Ok(format!("CREATE UNIQUE INDEX {} ON {} ({})", quoted(&index), quoted(&self.name), names.join(", ")))
    }

    /// Whether the table has a unique index on just the key and the account, over all rows.
    fn has_key(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let mut wanted: Vec<String> = self.key.iter().map(|n| self.columns[*n].name.to_lowercase()).collect();
        wanted.sort_unstable();
        let sql = "SELECT name FROM pragma_index_list(?1) WHERE \"unique\" = 1 AND partial = 0";
        let mut indexes = connection.prepare(sql)?;
        let mut columns = connection.prepare("SELECT COALESCE(name, '') FROM pragma_index_info(?1)")?;
        let indexes: Vec<String> = indexes.query_map([&self.name], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for index in indexes {
            let names = columns.query_map([&index], |row| row.get::<_, String>(0))?;
            let mut names: Vec<String> =
                names.map(|name| name.map(|name| name.to_lowercase())).collect::<Result<_, _>>()?;
            names.sort_unstable();
            if names == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the table holds rows that say nothing of their account: NULLs are never equal, so such a row would stand
    /// beside its own repeat.
    fn has_strays(&self, connection: &Connection, has_account: bool) -> rusqlite::Result<bool> {
        let table = quoted(&self.name);
        let strays = if has_account { format!("WHERE {} IS NULL", quoted(ACCOUNT)) } else { String::new() };
        connection.prepare(&format!("SELECT 1 FROM {table} {strays} LIMIT 1"))?.exists([])
    }

    /// The statements that make the table ready: none when it is.
    ///
    /// # Errors
    /// When it has a column of another type.
    pub(super) fn migration(&self, connection: &Connection) -> Result<Vec<String>, SinkError> {
        let schema = |problem: String| SinkError::Schema { table: self.name.clone(), problem };
        let mut present = Vec::new();
        let read = connection.prepare("SELECT name, type FROM pragma_table_xinfo(?1)").and_then(|mut statement| {
            let rows =
                statement.query_map([&self.name], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            for row in rows {
                present.push(row?);
            }
            Ok(())
        });
        let unreadable = |error: rusqlite::Error| schema(format!("it cannot be read: {error}"));
        read.map_err(unreadable)?;
        if present.is_empty() {
            return Ok(vec![self.create(), self.create_key(connection).map_err(unreadable)?]);
        }
        let mut statements = Vec::new();
        for column in &self.columns {
            let expected = type_of(column.kind);
            match present.iter().find(|(name, _)| name.eq_ignore_ascii_case(column.name)) {
                None => {
                    let (table, name) = (quoted(&self.name), quoted(column.name));
                    statements.push(format!("ALTER TABLE {table} ADD COLUMN {name} {expected}"));
                }
                Some((_, declared)) if affinity(declared) != affinity(expected) => {
                    let (name, kind) = (column.name, format!("{:?}", column.kind).to_lowercase());
                    return Err(schema(format!(
                        "column `{name}` is {declared} and must be {expected} to hold {kind}: rename the column, or name \
                         another table in `destination.tables`"
                    )));
                }
                Some(_) => {}
            }
        }
        let has_account = present.iter().any(|(name, _)| name.eq_ignore_ascii_case(ACCOUNT));
        if self.has_strays(connection, has_account).map_err(unreadable)? {
            let table = quoted(&self.name);
            let add =
                if has_account { String::new() } else { format!("ALTER TABLE {table} ADD COLUMN {ACCOUNT} TEXT; ") };
            return Err(schema(format!(
                "it holds rows that do not say which account they are from: run `{add}UPDATE {table} SET {ACCOUNT} = \
                 'NAME OF THE ACCOUNT' WHERE {ACCOUNT} IS NULL`, or name another table in `destination.tables`"
            )));
        }
        if !self.has_key(connection).map_err(unreadable)? {
            statements.push(self.create_key(connection).map_err(unreadable)?);
        }
        Ok(statements)
    }
}

/// What SQLite makes of a declared type (section 3.1 of its documentation on types).
fn affinity(declared: &str) -> &'static str {
    let upper = declared.to_uppercase();
    let has = |part: &str| upper.contains(part);
    if has("INT") {
        "INTEGER"
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        "TEXT"
    } else if has("BLOB") || upper.is_empty() {
        "BLOB"
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        "REAL"
    } else {
        "NUMERIC"
    }
}

/// The ledger's tables, and the two views that the queries of older tools read.
pub(super) const LEDGER: &str = r#"
CREATE TABLE IF NOT EXISTS backhaul_runs (
    run_id TEXT PRIMARY KEY,
    asked TEXT NOT NULL,
    noted_at TEXT NOT NULL,
    planned_at TEXT
);
CREATE TABLE IF NOT EXISTS backhaul_units (
    seq INTEGER PRIMARY KEY,
    unit_id TEXT NOT NULL UNIQUE,
    run_id TEXT NOT NULL,
    source TEXT NOT NULL,
    account TEXT NOT NULL,
    dataset TEXT NOT NULL,
    "partition" TEXT NOT NULL,
    window_from TEXT NOT NULL,
    window_to TEXT NOT NULL,
    noted_at TEXT NOT NULL,
    issued INTEGER NOT NULL DEFAULT 0,
    issued_at TEXT,
    dead_at TEXT,
    whole_at TEXT,
    rows INTEGER,
    stated INTEGER,
    pages INTEGER,
    requests INTEGER,
    began_at TEXT,
    ended_at TEXT
);
CREATE INDEX IF NOT EXISTS backhaul_units_run ON backhaul_units (run_id, seq);
CREATE INDEX IF NOT EXISTS backhaul_units_window ON backhaul_units (account, dataset, "partition", window_to);
CREATE TABLE IF NOT EXISTS backhaul_batches (
    batch_id TEXT PRIMARY KEY,
    unit_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    account TEXT NOT NULL,
    dataset TEXT NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    inserted INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    unchanged INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    refused TEXT,
    heals TEXT,
    drift TEXT,
    manifest TEXT,
    cut_at TEXT NOT NULL,
    committed_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS backhaul_batches_unit ON backhaul_batches (unit_id);
CREATE INDEX IF NOT EXISTS backhaul_batches_run ON backhaul_batches (run_id);
CREATE TABLE IF NOT EXISTS backhaul_faults (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    unit_id TEXT NOT NULL,
    batch_id TEXT,
    source TEXT NOT NULL,
    account TEXT NOT NULL,
    dataset TEXT NOT NULL,
    fault TEXT NOT NULL,
    verdict TEXT NOT NULL,
    cause TEXT NOT NULL,
    at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS backhaul_faults_run ON backhaul_faults (run_id);
CREATE VIEW IF NOT EXISTS cdr_sync_state AS
SELECT seq AS id, window_to AS last_successful_end_time_utc, rows AS records_fetched,
       ROUND((julianday(ended_at) - julianday(began_at)) * 86400, 3) AS sync_duration_seconds,
       requests AS api_calls_made,
       dataset || ' of ' || account || CASE "partition" WHEN '' THEN '' ELSE ', ' || "partition" END AS notes,
       whole_at AS created_at
FROM backhaul_units WHERE whole_at IS NOT NULL;
CREATE VIEW IF NOT EXISTS cdr_sync_errors AS
SELECT f.id, f.fault AS error_type, f.cause AS error_message, f.at AS error_timestamp, f.account, f.dataset,
       u.whole_at IS NOT NULL
           AND COALESCE((SELECT SUM(b.dead) FROM backhaul_batches b WHERE b.unit_id = f.unit_id), 0) = 0 AS recovered
FROM backhaul_faults f LEFT JOIN backhaul_units u ON u.unit_id = f.unit_id;
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use proto::catalog;

    #[test]
    fn every_table_is_created_as_it_is_checked_and_a_second_look_finds_it_ready() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(LEDGER).unwrap();
        connection.execute_batch(LEDGER).unwrap();
        for dataset in catalog::ALL {
            let table = Table::new(dataset, dataset.table.to_owned());
            connection.execute_batch(&table.migration(&connection).unwrap().join(";")).unwrap();
            let again = table.migration(&connection).unwrap();
            assert!(again.is_empty(), "{}: {again:?}", dataset.name);
            for statement in [&table.insert, &table.update, &table.touch, &table.find] {
                connection.prepare(statement).unwrap();
            }
        }
    }

    #[test]
    fn a_narrow_table_is_widened_and_a_wrong_column_is_refused_by_name_with_the_fix() {
        let table = Table::new(catalog::find("tags").unwrap(), "my tags".into());
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE \"my tags\" (id VARCHAR(20), name TEXT)").unwrap();
        let statements = table.migration(&connection).unwrap();
        assert_eq!(statements.len(), 6, "{statements:?}");
        connection.execute_batch(&statements.join(";")).unwrap();

        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE \"my tags\" (id TEXT, name INTEGER)").unwrap();
        let error = table.migration(&connection).unwrap_err().to_string();
        assert!(
            error.contains("`my tags`") && error.contains("`name` is INTEGER") && error.contains("destination.tables"),
            "{error}"
        );
    }

    #[test]
    fn a_table_gets_its_key_even_where_the_name_of_the_index_is_taken() {
        let table = Table::new(catalog::find("tags").unwrap(), "tags".into());
        let connection = Connection::open_in_memory().unwrap();
        let prepare = || connection.execute_batch(&table.migration(&connection).unwrap().join(";")).unwrap();
        prepare();
        connection.execute_batch("ALTER TABLE tags RENAME TO tags_2025").unwrap();
        prepare();
        assert!(table.has_key(&connection).unwrap());
        assert!(table.migration(&connection).unwrap().is_empty());
    }

    #[test]
    fn rows_without_an_account_are_not_mixed_with_ours() {
        let table = Table::new(catalog::find("tags").unwrap(), "tags".into());
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE tags (id TEXT, name TEXT); INSERT INTO tags VALUES ('1', 'a')").unwrap();
        let error = table.migration(&connection).unwrap_err().to_string();
        assert!(error.contains("ADD COLUMN _account TEXT; UPDATE \"tags\" SET _account"), "{error}");
        connection
            .execute_batch("ALTER TABLE tags ADD COLUMN _account TEXT; UPDATE tags SET _account = 'main'")
            .unwrap();
        connection.execute_batch(&table.migration(&connection).unwrap().join(";")).unwrap();
        assert!(table.migration(&connection).unwrap().is_empty());
    }
}
