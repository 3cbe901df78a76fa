//! One exchange in process: a bare service, and what logging adds to it. Only the ratios count.
//!
//! `cargo bench --bench request`

mod support;

use std::time::{Duration, Instant};

use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use support::Rig;
use support::scenario::ALL;

/// So many requests are made at once, outside of what is measured.
const BATCH: u64 = 256;

fn exchange(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("exchange");
    for (name, rig) in ALL {
        bench(&mut group, name, &mut *rig());
    }
    group.finish();
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, rig: &mut dyn Rig) {
    let _listening = tracing::dispatcher::set_default(rig.dispatch());
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|count| {
            let batches = (0..count).step_by(BATCH as usize).map(|done| BATCH.min(count - done));
            batches.map(|batch| timed(rig, batch as usize)).sum()
        });
    });
}

fn timed(rig: &mut dyn Rig, count: usize) -> Duration {
    rig.ready(count);
    let start = Instant::now();
    rig.run();
    start.elapsed()
}

criterion_group!(benches, exchange);
criterion_main!(benches);
