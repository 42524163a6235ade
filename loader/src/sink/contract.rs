//! The contract suite of destinations: each promise of [`Sink`] and [`Ledger`] as one check that every implementation
//! runs on a fresh, prepared destination. A check panics with the promise that was broken.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeZone, Utc};
use proto::batch::{Batch, BatchMeta, Manifest, PayloadWriter};
use proto::catalog;
use proto::dataset::Dataset;
use proto::fault::Fault;
use proto::id::{AccountName, BatchId, RunId};
use proto::ledger::{FaultNote, Ledger, Standing, UnitFigures};
use proto::unit::{Unit, Window};

use super::{Sink, SinkError};
use crate::load::{Load, LoadBatch, Receipt};

/// A destination under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The destination as a sink.
    fn sink(&self) -> Arc<dyn Sink>;
    /// The destination as a ledger.
    fn ledger(&self) -> Arc<dyn Ledger>;
    /// The `_account`, `id` and `name` of every row of the `tags` table, sorted.
    async fn rows(&self) -> Vec<(String, String, String)>;
    /// Makes the destination refuse the `tags` row of this id, or take it again.
    async fn refuse(&self, id: &str, yes: bool);
}

/// The dataset that the checks use.
fn tags() -> &'static Dataset {
    catalog::find("tags").expect("the catalog has tags")
}

fn hour(hour: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, hour, 0, 0).single().expect("a valid instant")
}

/// The unit of one hour of an account.
fn unit(run: &RunId, account: &str, from: u32) -> Unit {
    let account = AccountName::parse(account).expect("a valid name");
    Unit::new(run.clone(), account, tags(), String::new(), Window { from: hour(from), to: hour(from + 1) })
}

/// A row of `tags` with an id, a name and a vendor's version.
fn line(unit: &Unit, id: &str, name: &str, version: i64) -> String {
    let digest = name.bytes().fold(7_i64, |sum, byte| sum.wrapping_mul(31).wrapping_add(i64::from(byte)));
    format!(
        r#"{{"_account":"{}","_version":{version},"_digest":{digest},"id":"{id}","name":"{name}","_fetched_at":"2026-01-01T00:00:00.000000Z","raw":{{"id":"{id}"}}}}"#,
        unit.account
    )
}

fn batch(unit: &Unit, lines: &[String], manifest: Option<Vec<BatchId>>) -> Batch {
    let mut payload = PayloadWriter::new().expect("zstd");
    for line in lines {
        payload.push(line.as_bytes()).expect("zstd");
    }
    let id = BatchId::new();
    let rows = lines.len() as u32;
    let manifest = manifest.map(|mut batches| {
        batches.push(id.clone());
        let (pages, rows) = (1, u64::from(rows));
        Manifest { batches, pages, requests: 1, rows, repeats: 0, stated: Some(rows), began: hour(0), ended: hour(1) }
    });
    let meta = BatchMeta {
        id,
        unit: unit.clone(),
        rows,
        bytes: payload.bytes(),
        pages: 1,
        requests: 2,
        drift: BTreeMap::from([(String::from("new"), 1)]),
        manifest,
        heals: None,
        cut_at: hour(0),
    };
    Batch { meta, payload: payload.finish().expect("zstd") }
}

fn load(batches: &[&Batch]) -> Load {
    let whole = |batch: &&Batch| LoadBatch { batch: (*batch).clone(), refused: vec![] };
    Load { dataset: tags(), batches: batches.iter().map(whole).collect() }
}

async fn planned(subject: &dyn Subject, units: &[Unit]) {
    let ledger = subject.ledger();
    let run = &units[0].run;
    ledger.note_run(run, "a check", hour(0)).await.expect("note_run");
    ledger.note_units(units, hour(0)).await.expect("note_units");
    ledger.note_planned(run, hour(0)).await.expect("note_planned");
}

async fn commit(subject: &dyn Subject, batches: &[&Batch]) -> Receipt {
    subject.sink().commit(&load(batches)).await.expect("the destination takes the load")
}

async fn unit_figures(subject: &dyn Subject, unit: &Unit) -> UnitFigures {
    let all = subject.ledger().unit_figures(&unit.run).await.expect("unit_figures");
    all.into_iter().find(|figures| figures.unit == unit.id.as_str()).expect("the unit is noted")
}

async fn is_run_whole(subject: &dyn Subject, run: &RunId) -> bool {
    subject.ledger().figures(run).await.expect("figures").expect("the run is noted").whole
}

fn row(account: &str, id: &str, name: &str) -> (String, String, String) {
    (account.into(), id.into(), name.into())
}

/// Rows and ledger entries are visible together; applying a load twice changes nothing and counts nothing.
pub async fn twice_is_once(subject: &dyn Subject) {
    let unit = unit(&RunId::new(), "main", 0);
    planned(subject, std::slice::from_ref(&unit)).await;
    let batch = batch(&unit, &[line(&unit, "1", "a", 1), line(&unit, "2", "b", 1)], Some(vec![]));
    assert!(!is_run_whole(subject, &unit.run).await, "a run whose batches are not committed is not whole");
    let first = commit(subject, &[&batch]).await;
    assert_eq!(first, Receipt { inserted: 2, ..Receipt::default() });
    assert_eq!(commit(subject, &[&batch]).await, Receipt::default(), "a batch that is in the ledger does nothing");
    assert_eq!(subject.rows().await, [row("main", "1", "a"), row("main", "2", "b")]);
    let figures = unit_figures(subject, &unit).await;
    assert_eq!((figures.standing, figures.fetched, figures.inserted), (Standing::Whole, 2, 2));
    assert!(is_run_whole(subject, &unit.run).await);
    let run = subject.ledger().figures(&unit.run).await.expect("figures").expect("noted");
    assert_eq!((run.datasets[0].pages, run.datasets[0].requests, run.datasets[0].stated), (1, 2, Some(2)));
    assert_eq!(run.datasets[0].drift.get("new"), Some(&1));
}

/// Of several versions of a row the newest stays, in whatever order they come and however they are split into loads.
pub async fn the_newest_version_wins_in_any_order(subject: &dyn Subject) {
    let unit = unit(&RunId::new(), "main", 0);
    planned(subject, std::slice::from_ref(&unit)).await;
    let orders = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
    for (n, order) in orders.into_iter().enumerate() {
        let version = |id: &str, v: i64| line(&unit, &format!("{id}{n}"), &format!("name{v}"), v);
        let batches: Vec<Batch> = order.iter().map(|v| batch(&unit, &[version("apart", *v)], None)).collect();
        for batch in &batches {
            commit(subject, &[batch]).await;
        }
        let together: Vec<String> = order.iter().map(|v| version("together", *v)).collect();
        commit(subject, &[&batch(&unit, &together, None)]).await;
    }
    for (_, id, name) in subject.rows().await {
        assert_eq!(name, "name3", "row {id}");
    }
    assert_eq!(subject.rows().await.len(), 12);
}

/// A repeat of a row with a newer version does not let an older one with other content win later.
pub async fn a_repeat_moves_the_version_on(subject: &dyn Subject) {
    let unit = unit(&RunId::new(), "main", 0);
    planned(subject, std::slice::from_ref(&unit)).await;
    for (version, name, expected) in [
        (1, "a", Receipt { inserted: 1, ..Receipt::default() }),
        (3, "a", Receipt { unchanged: 1, ..Receipt::default() }),
        (2, "b", Receipt { unchanged: 1, ..Receipt::default() }),
        (4, "c", Receipt { updated: 1, ..Receipt::default() }),
    ] {
        assert_eq!(commit(subject, &[&batch(&unit, &[line(&unit, "1", name, version)], None)]).await, expected);
    }
    assert_eq!(subject.rows().await, [row("main", "1", "c")]);
}

/// Two accounts may share a table, and the same key of both stays two rows.
pub async fn accounts_do_not_mix(subject: &dyn Subject) {
    let run = RunId::new();
    let (one, two) = (unit(&run, "one", 0), unit(&run, "two", 0));
    planned(subject, &[one.clone(), two.clone()]).await;
    let (a, b) = (batch(&one, &[line(&one, "7", "a", 9)], None), batch(&two, &[line(&two, "7", "b", 1)], None));
    assert_eq!(commit(subject, &[&a, &b]).await.inserted, 2);
    assert_eq!(subject.rows().await, [row("one", "7", "a"), row("two", "7", "b")]);
}

/// When rows are to blame, nothing of the load is visible, and the error says that rows are to blame.
pub async fn a_refused_load_leaves_no_trace(subject: &dyn Subject) {
    let unit = unit(&RunId::new(), "main", 0);
    planned(subject, std::slice::from_ref(&unit)).await;
    let good = batch(&unit, &[line(&unit, "1", "a", 1)], None);
    for bad in [line(&unit, "bad", "b", 1), line(&unit, "2", "b", 1).replace(r#""id":"2","#, ""), String::from("{}")] {
        subject.refuse("bad", true).await;
        let bad = batch(&unit, &[line(&unit, "3", "c", 1), bad], Some(vec![]));
        let error = subject.sink().commit(&load(&[&good, &bad])).await.expect_err("the row is refused");
        assert!(matches!(error, SinkError::Rows { .. }), "{error}");
        assert!(subject.rows().await.is_empty());
        assert_eq!(unit_figures(subject, &unit).await.standing, Standing::Pending);
        let (sink, refused_by) = (subject.sink(), |result| matches!(result, Err(SinkError::Rows { .. })));
        assert!(refused_by(sink.probe(&bad, 2, &[]).await));
        assert!(refused_by(sink.probe(&bad, 2, &[0]).await));
        sink.probe(&bad, 1, &[]).await.expect("the row before it is taken");
        sink.probe(&bad, 2, &[1]).await.expect("the rest is taken");
        assert!(subject.rows().await.is_empty(), "a probe leaves no trace");
    }
}

/// A batch commits without its refused rows, the ledger counts them as dead, and the row's own batch heals them once.
pub async fn a_dead_row_is_counted_and_healed_once(subject: &dyn Subject) {
    let unit = unit(&RunId::new(), "main", 0);
    planned(subject, std::slice::from_ref(&unit)).await;
    let lines = [line(&unit, "1", "a", 1), line(&unit, "bad", "b", 1), line(&unit, "3", "c", 1)];
    let whole = batch(&unit, &lines, Some(vec![]));
    subject.refuse("bad", true).await;
    let without = Load { dataset: tags(), batches: vec![LoadBatch { batch: whole.clone(), refused: vec![1] }] };
    let receipt = subject.sink().commit(&without).await.expect("the rest is taken");
    assert_eq!(receipt, Receipt { inserted: 2, dead: 1, ..Receipt::default() });
    let figures = unit_figures(subject, &unit).await;
    assert_eq!((figures.fetched, figures.inserted, figures.dead, figures.standing), (3, 2, 1, Standing::Whole));
    assert!(!is_run_whole(subject, &unit.run).await, "a run with a dead row is not whole");

    subject.refuse("bad", false).await;
    let healing = whole.of_row(1, lines[1].as_bytes(), hour(2)).expect("zstd");
    assert_eq!(commit(subject, &[&healing]).await.inserted, 1);
    assert_eq!(commit(subject, &[&healing]).await, Receipt::default());
    let figures = unit_figures(subject, &unit).await;
    assert_eq!((figures.fetched, figures.inserted, figures.dead), (3, 3, 0));
    assert!(is_run_whole(subject, &unit.run).await);
}

/// A letter whose row its batch does not count as dead changes no figure, in whatever order the two come.
pub async fn a_stale_letter_heals_nothing(subject: &dyn Subject) {
    let run = RunId::new();
    let units = [unit(&run, "main", 0), unit(&run, "main", 1)];
    planned(subject, &units).await;
    for (first, unit) in ["batch", "letter"].into_iter().zip(&units) {
        let lines = [line(unit, first, "a", 1)];
        let whole = batch(unit, &lines, Some(vec![]));
        let letter = whole.of_row(0, lines[0].as_bytes(), hour(2)).expect("zstd");
        let order = if first == "batch" { [&whole, &letter] } else { [&letter, &whole] };
        for one in order {
            commit(subject, &[one]).await;
        }
        let figures = unit_figures(subject, unit).await;
        assert_eq!((figures.fetched, figures.inserted + figures.unchanged, figures.dead), (1, 1, 0), "{first} first");
    }
    assert!(is_run_whole(subject, &run).await);
    assert_eq!(subject.rows().await.len(), 2);
}

/// A unit is whole when every batch that one manifest lists is in the ledger, in whatever order they come; batches of
/// another pass count for nothing.
pub async fn a_unit_is_whole_by_one_manifest(subject: &dyn Subject) {
    let unit = unit(&RunId::new(), "main", 0);
    planned(subject, std::slice::from_ref(&unit)).await;
    let row = |n: u32| vec![line(&unit, &n.to_string(), "a", 1)];
    let (first, other) = (batch(&unit, &row(1), None), batch(&unit, &row(1), None));
    let middle = batch(&unit, &row(2), None);
    let last = batch(&unit, &row(3), Some(vec![first.meta.id.clone(), middle.meta.id.clone()]));
    let standing = || async { unit_figures(subject, &unit).await.standing };
    commit(subject, &[&last]).await;
    commit(subject, &[&other]).await;
    commit(subject, &[&middle]).await;
    assert_eq!(standing().await, Standing::Pending, "the first batch of that pass is missing");
    commit(subject, &[&first]).await;
    assert_eq!(standing().await, Standing::Whole);
    assert!(subject.ledger().is_whole(&unit.id).await.expect("is_whole"));
    let figures = unit_figures(subject, &unit).await;
    assert_eq!((figures.fetched, figures.inserted, figures.unchanged), (4, 3, 1));
}

/// An empty unit is whole by its one empty batch.
pub async fn an_empty_unit_is_whole(subject: &dyn Subject) {
    let unit = unit(&RunId::new(), "main", 0);
    planned(subject, std::slice::from_ref(&unit)).await;
    assert_eq!(commit(subject, &[&batch(&unit, &[], Some(vec![]))]).await, Receipt::default());
    assert!(is_run_whole(subject, &unit.run).await);
}

/// What is noted twice is noted once; what was issued, buried and replayed can be told.
pub async fn notes_are_kept(subject: &dyn Subject) {
    let unit = unit(&RunId::new(), "main", 0);
    planned(subject, std::slice::from_ref(&unit)).await;
    planned(subject, std::slice::from_ref(&unit)).await;
    let ledger = subject.ledger();
    let pending = || async { ledger.pending(&unit.run).await.expect("pending") };
    assert_eq!(pending().await.iter().map(|p| (&p.unit, p.issued, p.dead)).collect::<Vec<_>>(), [(&unit, 0, false)]);
    ledger.note_issued(std::slice::from_ref(&unit.id), hour(1)).await.expect("note_issued");
    let note = FaultNote {
        run: unit.run.clone(),
        unit: unit.id.clone(),
        batch: None,
        source: unit.source,
        account: unit.account.clone(),
        dataset: unit.dataset.clone(),
        fault: Fault::Poison,
        verdict: "dead",
        cause: String::from("it's \"broken\""),
        buries: true,
        at: hour(1),
    };
    ledger.note_fault(&note).await.expect("note_fault");
    ledger.note_fault(&note).await.expect("note_fault");
    assert_eq!(pending().await.iter().map(|p| (p.issued, p.dead)).collect::<Vec<_>>(), [(1, true)]);
    let run = ledger.figures(&unit.run).await.expect("figures").expect("noted");
    assert_eq!((run.whole, run.datasets[0].dead_units), (false, 1));
    let faults: Vec<_> = run.faults.iter().map(|f| (f.cause.as_str(), f.times)).collect();
    assert_eq!(faults, [("it's \"broken\"", 2)]);
    ledger.note_replayed(std::slice::from_ref(&unit.id), hour(2)).await.expect("note_replayed");
    assert!(!pending().await[0].dead);
    ledger.note_discarded("m1", &unit.id, "ann", "tested", hour(3)).await.expect("note_discarded");
    commit(subject, &[&batch(&unit, &[], Some(vec![]))]).await;
    assert!(pending().await.is_empty());
    assert_eq!(ledger.newest_run().await.expect("newest_run"), Some(unit.run.clone()));
    assert_eq!(ledger.figures(&RunId::new()).await.expect("figures"), None);
}

/// History knows the newest whole window, and the windows that are neither whole nor covered.
pub async fn history_knows_the_holes(subject: &dyn Subject) {
    let (run, again) = (RunId::new(), RunId::new());
    let units: Vec<Unit> = (0..4).map(|h| unit(&run, "main", h)).collect();
    let ledger = subject.ledger();
    let history = || async {
        let account = AccountName::parse("main").expect("a valid name");
        ledger.history(&account, tags(), &String::new()).await.expect("history")
    };
    assert_eq!(history().await, proto::ledger::History::default());
    planned(subject, &units).await;
    for n in [0, 2] {
        commit(subject, &[&batch(&units[n], &[], Some(vec![]))]).await;
    }
    let now = history().await;
    assert_eq!(now.newest_whole, Some(hour(3)));
    assert_eq!(now.holes, [units[1].window, units[3].window]);
    assert_eq!(now.watermark(), Some(hour(1)));
    let healed = unit(&again, "main", 1);
    planned(subject, std::slice::from_ref(&healed)).await;
    commit(subject, &[&batch(&healed, &[], Some(vec![]))]).await;
    let now = history().await;
    assert_eq!((now.holes.as_slice(), now.watermark()), ([units[3].window].as_slice(), Some(hour(3))));
}

/// Time that was jumped over going forward is a hole, though no run planned it.
pub async fn history_knows_what_was_jumped_over(subject: &dyn Subject) {
    let ledger = subject.ledger();
    for (from, noted) in [(0, 1), (5, 6), (10, 2)] {
        let unit = unit(&RunId::new(), "main", from);
        ledger.note_run(&unit.run, "a check", hour(noted)).await.expect("note_run");
        ledger.note_units(std::slice::from_ref(&unit), hour(noted)).await.expect("note_units");
        commit(subject, &[&batch(&unit, &[], Some(vec![]))]).await;
    }
    let account = AccountName::parse("main").expect("a valid name");
    let history = ledger.history(&account, tags(), &String::new()).await.expect("history");
    let hole = |from, to| Window { from: hour(from), to: hour(to) };
    assert_eq!((history.newest_whole, history.holes), (Some(hour(11)), vec![hole(1, 5), hole(6, 10)]));
}

/// Preparing twice changes nothing.
pub async fn preparing_again_changes_nothing(subject: &dyn Subject) {
    let unit = unit(&RunId::new(), "main", 0);
    planned(subject, std::slice::from_ref(&unit)).await;
    commit(subject, &[&batch(&unit, &[line(&unit, "1", "a", 1)], None)]).await;
    for _ in 0..2 {
        subject.sink().prepare(&[tags()]).await.expect("prepare");
    }
    assert_eq!(subject.rows().await, [row("main", "1", "a")]);
}
