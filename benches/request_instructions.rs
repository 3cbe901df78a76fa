//! Instructions of whole exchanges under callgrind, for the gate: `python3 benches/gate.py`.
//!
//! Only the thread of the request is counted, not the sink's, and only between the first and the last of
//! [`COUNT`] exchanges, after others have warmed everything up. The requests are made beforehand.
#![allow(missing_docs, reason = "what the macros make has none")]

mod support;

use gungraun::prelude::*;
use support::Rig;
use support::scenario::*;

const WARM: usize = 32;
const COUNT: usize = 100;

fn warm(mut rig: Box<dyn Rig>) -> Box<dyn Rig> {
    // Every benchmark is a process of its own, so that this is as in production.
    if !rig.dispatch().is::<tracing::subscriber::NoSubscriber>() {
        tracing::dispatcher::set_global_default(rig.dispatch().clone())
            .expect("nobody listens yet");
    }
    rig.ready(WARM);
    rig.run();
    rig.ready(COUNT);
    rig
}

#[library_benchmark]
#[bench::bare(warm(bare()))]
#[bench::nobody_listens(warm(nobody_listens()))]
#[bench::no_op_subscriber(warm(no_op_subscriber()))]
#[bench::json_lines_3(warm(json_lines_3()))]
#[bench::json_lines_8(warm(json_lines_8()))]
#[bench::json_lines_20(warm(json_lines_20()))]
#[bench::json_lines_two_logs(warm(json_lines_two_logs()))]
#[bench::json_lines_in_span(warm(json_lines_in_span()))]
#[bench::fmt_json_8(warm(fmt_json_8()))]
#[bench::trace_layer_nobody_listens(warm(trace_layer_nobody_listens()))]
#[bench::trace_layer_fmt_json(warm(trace_layer_fmt_json()))]
#[bench::bare_axum(warm(bare_axum()))]
#[bench::handwritten_fmt_json(warm(handwritten_fmt_json()))]
fn exchange(mut rig: Box<dyn Rig>) -> Box<dyn Rig> {
    rig.run();
    rig
}

library_benchmark_group!(name = exchanges, benchmarks = [exchange]);

main!(library_benchmark_groups = exchanges);
