//! What a policy costs at the start: from text to a policy, and from a policy to a layer.
//!
//! `cargo bench --bench policy`

mod support;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use support::{EIGHT, THREE, TWENTY, text};
use tower_privacy_log::{Policy, PrivacyLogLayer};

fn policy(criterion: &mut Criterion) {
    let proxies: Vec<_> =
        (0..1000).map(|at| format!("\"10.{}.{}.0/24\"", at >> 8, at & 0xff)).collect();
    let proxies = format!(
        "[client]\nsource = \"x-forwarded-for\"\ntrusted_proxies = [{}]",
        proxies.join(", ")
    );
    let texts = [
        ("3 fields", text("", &[THREE])),
        ("20 fields", text("", &[TWENTY])),
        ("2 logs, 28 fields", text("", &[TWENTY, EIGHT])),
        ("8 fields, 1 000 proxies", text(&proxies, &[EIGHT])),
    ];
    for (name, text) in &texts {
        criterion.bench_function(&format!("policy/parse/{name}"), |bencher| {
            bencher.iter(|| black_box(text.parse::<Policy>().is_ok()));
        });
        let policy: Policy = text.parse().expect("the benchmark's policy is valid");
        criterion.bench_function(&format!("policy/compile/{name}"), |bencher| {
            bencher.iter(|| PrivacyLogLayer::new(black_box(&policy)).expect("keys can be had"));
        });
    }
}

criterion_group!(benches, policy);
criterion_main!(benches);
