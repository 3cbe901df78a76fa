//! Instructions of whole exchanges under callgrind, for the gate: `python3 benches/gate.py`.
//!
//! Only the thread of the request is counted, not the sink's, and only between the first and the last of
//! [`COUNT`] exchanges, after others have warmed everything up. The requests are made beforehand.
#![allow(missing_docs, reason = "what the macros make has none")]

mod support;

use gungraun::prelude::*;
use support::Rig;
use support::hostile;
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
#[bench::bare_router(warm(bare_router()))]
#[bench::router_nobody_listens(warm(router_nobody_listens()))]
#[bench::router_json_lines_8(warm(router_json_lines_8()))]
#[bench::bare_closure(warm(bare_closure()))]
#[bench::closure_nobody_listens(warm(closure_nobody_listens()))]
#[bench::closure_json_lines_8(warm(closure_json_lines_8()))]
#[bench::bare_axum(warm(bare_axum()))]
#[bench::handwritten_fmt_json(warm(handwritten_fmt_json()))]
#[bench::prefixes_1(warm(hostile::prefixes(1)))]
#[bench::prefixes_1000(warm(hostile::prefixes(1000)))]
#[bench::bare_header(warm(hostile::bare_header()))]
#[bench::bare_padded_values(warm(hostile::bare_padded_values()))]
#[bench::bare_many_values(warm(hostile::bare_many_values()))]
#[bench::bare_path(warm(hostile::bare_path()))]
#[bench::bare_referrer(warm(hostile::bare_referrer()))]
fn exchange(mut rig: Box<dyn Rig>) -> Box<dyn Rig> {
    rig.run();
    rig
}

/// One benchmark for every content.
macro_rules! hostile {
    ($name:ident, $contents:expr, $($content:ident)*) => {
        #[library_benchmark]
        $(#[bench::$content(warm(hostile::$name(stringify!($content))))])*
        fn $name(mut rig: Box<dyn Rig>) -> Box<dyn Rig> {
            rig.run();
            rig
        }

        const _: () = assert!([$(stringify!($content)),*].len() == $contents.len());
    };
}

hostile!(x_forwarded_for, hostile::X_FORWARDED_FOR,
    garbage commas spaces commas_spaces word_behind_spaces hops hops_v6 hops_v6_of_groups
    hops_v6_of_short_groups hops_v6_among_commas nodes_v6 mapped_hops hops_of_two_prefixes
    hops_of_two_prefixes_v6 padded_hops hops_behind_blanks hops_among_commas mixed_padding padded_values
    many_values long_hops long_hops_among_commas full_hops_v6 full_hops_v6_among_blanks mixed_hops
    embedded_hops_among_commas hops_with_ports long_hops_with_ports many_values_of_nothing
    values_of_hops_v6 values_of_long_hops values_of_full_hops_v6 values_of_mixed_hops
    values_of_hops_and_blanks tabs hops_among_tabs hops_with_ports_and_tabs full_nodes_v6_among_blanks
    dotted_hops_v6 dotted_hops_v6_among_tabs values_of_odd_blanks);
hostile!(forwarded, hostile::FORWARDED,
    garbage commas spaces semicolons semicolons_spaces equals quotes backslashes escaped_quotes
    parameters hops quoted_hops quoted_hops_v6 escaped_hops padded_hops padded_quoted_hops
    hops_among_commas hops_among_semicolons padded_values many_values long_hops full_hops_v6 mixed_hops
    mixed_hops_among_semicolons escaped_mixed_hops hops_of_many_parameters hops_by_proxies
    hops_with_another hops_among_blanks hops_with_protocols hops_with_hosts_and_protocols
    hops_of_four_parameters hops_with_long_hosts hops_with_long_quoted_hosts hops_with_odd_hosts
    hops_with_escaped_hosts ports_that_are_hidden hops_among_tabs quoted_hops_and_blanks full_nodes_v6
    hops_behind_protocols hops_behind_hosts hops_behind_proxies values_of_semicolons values_of_long_hops
    values_of_full_hops_v6 values_of_mixed_hops values_of_hops_behind_parameters);
hostile!(single, hostile::SINGLE, garbage digits spaces padded_address);
hostile!(path_depth, hostile::PATHS,
    segments letters slashes encoded encoded_slashes encoded_often encoded_signs encoded_percents quotes
    semicolons);
hostile!(path_keep, hostile::PATHS,
    segments letters slashes encoded encoded_slashes encoded_often encoded_signs encoded_percents quotes
    semicolons);
hostile!(odd_path_depth, hostile::ODD_PATHS,
    letters_beyond_ascii bidi_marks changing_bidi_marks quotes_and_letters quotes_and_encoded_signs
    quotes_and_letters_beyond_ascii backslashes kana emoji);
hostile!(odd_path_keep, hostile::ODD_PATHS,
    letters_beyond_ascii bidi_marks changing_bidi_marks quotes_and_letters quotes_and_encoded_signs
    quotes_and_letters_beyond_ascii backslashes kana emoji);
hostile!(referrer_origin, hostile::REFERRERS,
    path encoded_path path_of_bidi_marks user users host labels encoded_host host_beyond_ascii
    short_host_beyond_ascii colons brackets digits slashes backslashes spaces letters
    letters_beyond_ascii);
hostile!(referrer_path, hostile::REFERRERS,
    path encoded_path path_of_bidi_marks user users host labels encoded_host host_beyond_ascii
    short_host_beyond_ascii colons brackets digits slashes backslashes spaces letters
    letters_beyond_ascii);
hostile!(odd_referrer_origin, hostile::ODD_REFERRERS,
    fewer_labels long_labels punycode capital_labels longer_punycode unusual_punycode
    punycode_of_other_marks encoded_host_and_path one_encoded_host);
hostile!(odd_referrer_path, hostile::ODD_REFERRERS,
    fewer_labels long_labels punycode capital_labels longer_punycode unusual_punycode
    punycode_of_other_marks encoded_host_and_path one_encoded_host);

library_benchmark_group!(
    name = exchanges,
    benchmarks = [
        exchange,
        x_forwarded_for,
        forwarded,
        single,
        path_depth,
        path_keep,
        odd_path_depth,
        odd_path_keep,
        referrer_origin,
        referrer_path,
        odd_referrer_origin,
        odd_referrer_path
    ]
);

main!(library_benchmark_groups = exchanges);
