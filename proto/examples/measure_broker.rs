#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]
use backhaul_proto::broker::contract::{batch, batches, unit, units};
use backhaul_proto::broker::embedded::*;
use backhaul_proto::broker::*;
use backhaul_proto::fault::Verdict;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
async fn round(b: Arc<EmbeddedBroker>, name: &str, size: usize, n: usize, publishers: usize, receivers: usize) {
    let q = if size == 0 { units() } else { batches() };
    let t = Instant::now();
    let mut set = JoinSet::new();
    let body = batch("x", size);
    for p in 0..publishers {
        let (b, q, body) = (b.clone(), q.clone(), body.clone());
        set.spawn(async move {
            for i in (p..n).step_by(publishers) {
                let m = if size == 0 {
                    unit(&format!("{i}"))
                } else {
                    let mut m = body.clone();
                    m.id = format!("{i}");
                    m
                };
                b.publish(&q, m).await.unwrap();
            }
        });
    }
    while set.join_next().await.is_some() {}
    let published = t.elapsed();
    let t = Instant::now();
    for r in 0..receivers {
        let (b, q) = (b.clone(), q.clone());
        let mine = (r..n).step_by(receivers).count();
        set.spawn(async move {
            for _ in 0..mine {
                let d = b.receive(&q).await.unwrap();
                b.settle(d.tag, Verdict::Done).await.unwrap();
            }
        });
    }
    while set.join_next().await.is_some() {}
    let received = t.elapsed();
    let per = |d: Duration| (n as f64 / d.as_secs_f64(), (n * size) as f64 / 1e6 / d.as_secs_f64());
    println!(
        "{name:8} {size:>7} B x{n:>6} pub/{publishers} rec/{receivers}: publish {:.0}/s {:.0} MB/s; receive+settle {:.0}/s {:.0} MB/s",
        per(published).0,
        per(published).1,
        per(received).0,
        per(received).1
    );
}
#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let s = EmbeddedSettings { max_bytes: 4 << 30, ..Default::default() };
    let path = std::path::Path::new(&dir).join("q.db");
    let file = EmbeddedBroker::open(&path, s).unwrap();
    let mem = EmbeddedBroker::in_memory(s).unwrap();
    for (name, b) in [("file", &file), ("memory", &mem)] {
        for (p, r) in [(1, 1), (8, 8), (64, 64)] {
            round(b.clone(), name, 1024, if p == 1 { 3000 } else { 20000 }, p, r).await;
        }
        for (p, r) in [(1, 1), (8, 8)] {
            round(b.clone(), name, 300_000, 1500, p, r).await;
        }
    }
    // a long backlog
    let t = Instant::now();
    round(file.clone(), "backlog", 0, 30_000, 64, 8).await;
    println!("{:?}", t.elapsed());
    file.close().await;
}
