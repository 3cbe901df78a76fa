//! Requests that want to be expensive: 8 KiB of a forwarding header, of a path or of a referrer.
//!
//! Every content is made for one loop of a reader: what it skips, what it counts, what it looks up, what it
//! looks at twice. A bound holds whatever the content is, so the worst one counts.

use http::header::{HeaderName, HeaderValue};
use http::{Request, Uri};

use super::scenario::{NoBody, json_lines_rig};
use super::{EIGHT, Exchanges, Rig, hello, request};

/// The size of every one of them.
pub const SIZE: usize = 8192;

/// A name, and what it stands for.
pub type Content<T> = (&'static str, fn() -> T);

const IPV4: &str = "10.255.255.255";
const IPV6: &str = "fd00:0db8:00ff:ffff:ffff:ffff:ffff:ffff";
/// Not all digits, and nearly as many.
const GROUPS: &str = "fd00:db8:ff:ffff:ffff:ffff:ffff:fff";
const MIXED: &str = "[fd00:0db8:00ff:ffff:ffff:ffff:255.255.255.255]:65535";
const FULL_NODE: &str = "[0000:0000:0000:0000:0000:ffff:0a00:0001]:00080";
const EMBEDDED: &str = "[0000:0000:0000:0000:0000:ffff:10.255.255.255]:65535";

/// What a list of hops may be full of.
pub const X_FORWARDED_FOR: &[Content<Vec<String>>] = &[
    ("garbage", || one("a")),
    ("commas", || one(",")),
    ("spaces", || one(" ")),
    ("commas_spaces", || one(", ")),
    ("word_behind_spaces", || vec![format!("{}a", filled(" "))]),
    ("hops", || one("10.0.0.1, ")),
    ("hops_v6", || one("fd00::1,")),
    ("hops_v6_of_groups", || one(&format!("{GROUPS},"))),
    ("hops_v6_of_short_groups", || one("fd00:0:0:0:0:0:0:1,")),
    ("hops_v6_among_commas", || one(&padded(&format!("{GROUPS},"), ","))),
    ("nodes_v6", || one(&format!("[{GROUPS}]:65535,"))),
    ("mapped_hops", || one("::ffff:10.0.0.1,")),
    ("hops_of_two_prefixes", || one("10.0.0.1,198.51.100.7,")),
    ("hops_of_two_prefixes_v6", || one("fd00::1,::ffff:c633:6407,")),
    ("padded_hops", || one(&padded("10.0.0.1,", " "))),
    ("hops_behind_blanks", || one("10.0.0.1  ,  ")),
    ("hops_among_commas", || one(&padded("10.0.0.1,", ","))),
    ("mixed_padding", || one(&padded("fd00::1,", ", "))),
    ("padded_values", || vec![padded("fd00::1,", ", "); 32]),
    ("many_values", || vec!["10.0.0.1,      ,".to_owned(); SIZE / 16]),
    ("long_hops", || one(&format!("{IPV4},"))),
    ("long_hops_among_commas", || one(&padded(&format!("{IPV4},"), ","))),
    ("full_hops_v6", || one(&format!("{IPV6},"))),
    ("full_hops_v6_among_blanks", || one(&padded(&format!("{IPV6},"), " "))),
    ("mixed_hops", || one(&format!("{MIXED},"))),
    ("embedded_hops_among_commas", || one(&padded(&format!("{EMBEDDED},"), ","))),
    ("hops_with_ports", || one("10.0.0.2:80,")),
    ("long_hops_with_ports", || one(&format!("{IPV4}:65535,"))),
    ("many_values_of_nothing", || vec![String::new(); SIZE / 16]),
    ("values_of_hops_v6", || vec!["fd00::1".to_owned(); 32]),
    ("values_of_long_hops", || vec![IPV4.to_owned(); 32]),
    ("values_of_full_hops_v6", || vec![IPV6.to_owned(); 32]),
    ("values_of_mixed_hops", || vec![MIXED.to_owned(); 32]),
    ("values_of_hops_and_blanks", || vec![format!(",{IPV4}{}", " ".repeat(242)); 32]),
    ("tabs", || one("\t")),
    ("hops_among_tabs", || one(&padded("10.10.10.1,", "\t"))),
    ("hops_with_ports_and_tabs", || one("10.0.0.23:80 ,\t")),
    ("full_nodes_v6_among_blanks", || one(&padded(&format!("[{IPV6}]:65535,"), " "))),
    ("dotted_hops_v6", || one("0:0:0:0:0:ffff:10.255.255.255, ")),
    ("dotted_hops_v6_among_tabs", || one("fd00::255.255.255.255\t,\t\t\t\t\t\t\t\t\t\t\t\t\t\t")),
    ("values_of_odd_blanks", || vec![" ".repeat(SIZE / 32 - 1); 32]),
];

pub const FORWARDED: &[Content<Vec<String>>] = &[
    ("garbage", || one("a")),
    ("commas", || one(",")),
    ("spaces", || one(" ")),
    ("semicolons", || one(";")),
    ("semicolons_spaces", || one("; ")),
    ("equals", || one("=")),
    ("quotes", || one("\"")),
    ("backslashes", || vec![format!("for=\"{}\"", filled("\\"))]),
    ("escaped_quotes", || vec![format!("for=\"{}\"", filled("\\\""))]),
    ("parameters", || one("a=1;b=1;c=1;d=1;e=1;f=1;g=1;for=10.0.0.1,")),
    ("hops", || one("for=10.0.0.1, ")),
    ("quoted_hops", || one("for=\"10.0.0.1:1\",")),
    ("quoted_hops_v6", || one("for=\"[fd00::1]\",")),
    ("escaped_hops", || one("for=\"\\10.0.0.1\",")),
    ("padded_hops", || one(&padded("for=10.0.0.1,", " "))),
    ("padded_quoted_hops", || one(&padded("for=\"10.0.0.1\",", " "))),
    ("hops_among_commas", || one(&padded("for=10.0.0.1,", ","))),
    ("hops_among_semicolons", || one(&padded("for=10.0.0.1,", ";"))),
    ("padded_values", || vec![padded("for=10.0.0.1,", ", "); 32]),
    ("many_values", || vec!["for=10.0.0.1  ,,".to_owned(); SIZE / 16]),
    ("long_hops", || one(&format!("for={IPV4},"))),
    ("full_hops_v6", || one(&format!("for=\"[{IPV6}]\","))),
    ("mixed_hops", || one(&format!("for=\"{MIXED}\","))),
    ("mixed_hops_among_semicolons", || one(&padded(&format!("for=\"{MIXED}\","), "; "))),
    ("escaped_mixed_hops", || one(&format!("for=\"{}\",", escaped(MIXED)))),
    ("hops_of_many_parameters", || one(&format!("a=1;b=2;c=3;d=4;e=5;f=6;g=7;for=\"{MIXED}\","))),
    ("hops_by_proxies", || one(&format!("for=\"{MIXED}\";by=\"{MIXED}\","))),
    ("hops_with_another", || one("for=10.0.0.1;a=b,")),
    ("hops_among_blanks", || one("for=10.0.0.1 ; proto=https ,")),
    ("hops_with_protocols", || one("for=10.0.0.1;proto=https,")),
    ("hops_with_hosts_and_protocols", || one("for=10.0.0.1;host=shop.example;proto=https,")),
    ("hops_of_four_parameters", || {
        one("by=_a;for=10.0.0.1;host=\"shop.example:443\";proto=https,")
    }),
    ("hops_with_long_hosts", || one(&format!("for={IPV4};host={},", "a".repeat(200)))),
    ("hops_with_long_quoted_hosts", || one(&format!("for={IPV4};host=\"{}\",", "a".repeat(200)))),
    ("hops_with_odd_hosts", || one(&format!("for={IPV4};host={},", "!".repeat(200)))),
    ("hops_with_escaped_hosts", || one(&format!("for={IPV4};host=\"{}\",", "\\\"".repeat(100)))),
    ("ports_that_are_hidden", || one(&format!("for=\"{IPV4}:_{}\",", "a".repeat(100)))),
    ("hops_among_tabs", || one(&padded("for=\"10.10.10.1:65535\",", "\t"))),
    ("quoted_hops_and_blanks", || one("for=\"10.0.0.23\", ")),
    ("full_nodes_v6", || one(&format!("for=\"{FULL_NODE}\", "))),
    ("hops_behind_protocols", || one("proto=https; for=10.255.255.255,")),
    ("hops_behind_hosts", || one("host=shop.example; for=10.10.10.1,")),
    ("hops_behind_proxies", || one("proto=https;by=10.0.0.3;for=198.51.100.7,")),
    ("values_of_semicolons", || vec![";".to_owned(); 32]),
    ("values_of_long_hops", || vec![format!("for={IPV4}"); 32]),
    ("values_of_full_hops_v6", || vec![format!("for=\"[{IPV6}]\""); 32]),
    ("values_of_mixed_hops", || vec![format!("for=\"{MIXED}\""); 32]),
    ("values_of_hops_behind_parameters", || {
        [vec!["ab=2;".repeat(16)], vec![format!("for={IPV4}"); 31]].concat()
    }),
];

/// Of a header that holds one address.
pub const SINGLE: &[Content<Vec<String>>] = &[
    ("garbage", || one("a")),
    ("digits", || one("1")),
    ("spaces", || one(" ")),
    ("padded_address", || vec![format!("{}10.0.0.1", " ".repeat(SIZE - 8))]),
];

pub const PATHS: &[Content<String>] = &[
    ("segments", || filled("/a")),
    ("letters", || format!("/{}", filled("a"))),
    ("slashes", || filled("/")),
    ("encoded", || format!("/{}", filled("%41"))),
    ("encoded_slashes", || format!("/{}", filled("%2F"))),
    ("encoded_often", || format!("/%{}2F", filled("25"))),
    ("encoded_signs", || format!("/{}", filled("%21"))),
    ("encoded_percents", || format!("/{}", filled("%25"))),
    ("quotes", || format!("/{}", filled("\""))),
    ("semicolons", || format!("/{}", filled(";"))),
];

/// Paths of which every byte is looked at, or several times: none is in a URI (RFC 3986), and browsers encode them.
pub const ODD_PATHS: &[Content<String>] = &[
    ("letters_beyond_ascii", || format!("/{}", filled("é"))),
    ("bidi_marks", || format!("/{}", filled("\u{202e}"))),
    ("changing_bidi_marks", || format!("/{}", filled("\u{202e}\u{202d}"))),
    ("quotes_and_letters", || format!("/{}", filled("\"a"))),
    ("quotes_and_encoded_signs", || format!("/{}", filled("\"a\"%21"))),
    ("quotes_and_letters_beyond_ascii", || format!("/{}", filled("\"日"))),
    ("backslashes", || format!("/{}", filled("\\"))),
    ("kana", || format!("/{}", filled("あ"))),
    ("emoji", || format!("/{}", filled("🦀"))),
];

pub const REFERRERS: &[Content<String>] = &[
    ("path", || format!("https://www.example.com/{}", filled("a"))),
    ("encoded_path", || format!("https://www.example.com/{}", filled("%41"))),
    ("path_of_bidi_marks", || format!("https://www.example.com/{}", filled("\u{202e}"))),
    ("user", || format!("https://{}@www.example.com/", filled("a"))),
    ("users", || format!("https://{}www.example.com/", filled("a@"))),
    ("host", || format!("https://{}/", filled("a"))),
    ("labels", || format!("https://{}com/", filled("a."))),
    ("encoded_host", || format!("https://{}.com/", filled("%61"))),
    ("host_beyond_ascii", || format!("https://{}.com/", filled("é"))),
    ("short_host_beyond_ascii", || format!("https://{}.com/{}", "é.ü.ß.".repeat(8), filled("a"))),
    ("colons", || format!("https://www.example.com{}", filled(":"))),
    ("brackets", || format!("https://{}", filled("[:"))),
    ("digits", || format!("https://{}/", filled("1."))),
    ("slashes", || format!("https:{}", filled("/"))),
    ("backslashes", || format!("https:{}", filled("\\"))),
    ("spaces", || format!("{}https://www.example.com/", filled(" "))),
    ("letters", || filled("a")),
    ("letters_beyond_ascii", || filled("é")),
];

/// Hosts that take longest to read, whatever stands behind them: the longest names, punycode, encoded letters.
pub const ODD_REFERRERS: &[Content<String>] = &[
    ("fewer_labels", || format!("https://{}com/{}", "a.".repeat(31), filled("a"))),
    ("long_labels", || {
        format!("https://{}com/{}", format!("{}.", "a".repeat(59)).repeat(3), filled("a"))
    }),
    ("punycode", || format!("https://{}example/{}", "xn--9ca.".repeat(7), filled("a"))),
    ("capital_labels", || format!("https://{}com/{}", "A.".repeat(120), filled("a"))),
    ("longer_punycode", || format!("https://xn--9ca{}.example/{}", "a".repeat(49), filled("a"))),
    ("unusual_punycode", || format!("https://{}example/{}", "xn--mgb.".repeat(7), filled("a"))),
    ("punycode_of_other_marks", || {
        format!("https://xn--{}.example/{}", "j2b4c".repeat(10), filled("a"))
    }),
    ("encoded_host_and_path", || format!("https://{}/{}", "%61".repeat(63), filled("a"))),
    ("one_encoded_host", || format!("https://{}/", "%61".repeat(63))),
];

pub fn x_forwarded_for(content: &str) -> Box<dyn Rig> {
    forwarding("x-forwarded-for", &find(X_FORWARDED_FOR, content))
}

pub fn forwarded(content: &str) -> Box<dyn Rig> {
    forwarding("forwarded", &find(FORWARDED, content))
}

pub fn single(content: &str) -> Box<dyn Rig> {
    forwarding("x-real-ip", &find(SINGLE, content))
}

pub fn path_depth(content: &str) -> Box<dyn Rig> {
    path(&find(PATHS, content), DEPTH)
}

pub fn path_keep(content: &str) -> Box<dyn Rig> {
    path(&find(PATHS, content), KEEP)
}

pub fn referrer_origin(content: &str) -> Box<dyn Rig> {
    referrer(&find(REFERRERS, content), ORIGIN)
}

pub fn referrer_path(content: &str) -> Box<dyn Rig> {
    referrer(&find(REFERRERS, content), WITH_PATH)
}

pub fn odd_path_depth(content: &str) -> Box<dyn Rig> {
    path(&find(ODD_PATHS, content), DEPTH)
}

pub fn odd_path_keep(content: &str) -> Box<dyn Rig> {
    path(&find(ODD_PATHS, content), KEEP)
}

pub fn odd_referrer_origin(content: &str) -> Box<dyn Rig> {
    referrer(&find(ODD_REFERRERS, content), ORIGIN)
}

pub fn odd_referrer_path(content: &str) -> Box<dyn Rig> {
    referrer(&find(ODD_REFERRERS, content), WITH_PATH)
}

const DEPTH: &str = "{ depth = 16 }";
const KEEP: &str = "{ keep = true, accept_risk = \"benchmark\" }";
const ORIGIN: &str = "\"origin\"";
const WITH_PATH: &str = "{ path = true, accept_risk = \"benchmark\" }";

fn find<T>(all: &[Content<T>], content: &str) -> T {
    let (_, made) = all.iter().find(|(name, _)| *name == content).expect("a known content");
    made()
}

/// With the peer and the hops trusted.
fn forwarding(header: &'static str, values: &[String]) -> Box<dyn Rig> {
    let head = format!(
        "[client]\nsource = \"{header}\"\n\
         trusted_proxies = [\"198.51.100.0/24\", \"10.0.0.0/8\", \"fd00::/8\"]"
    );
    asked(json_lines_rig(&head, &[EIGHT]), with_header(header, values))
}

fn path(path: &str, treatment: &str) -> Box<dyn Rig> {
    let fields = EIGHT.replace("\"http.route\" = \"keep\"", &format!("\"url.path\" = {treatment}"));
    asked(json_lines_rig("", &[&fields]), with_path(path))
}

fn referrer(value: &str, treatment: &str) -> Box<dyn Rig> {
    let fields = EIGHT.replace("\"origin\"", treatment);
    asked(json_lines_rig("", &[&fields]), with_header("referer", &[value.to_owned()]))
}

/// One hop before us, and so many prefixes that are trusted; the peer is in the last one.
pub fn prefixes(count: usize) -> Box<dyn Rig> {
    let others = (1..count).map(|at| format!("\"10.{}.{}.0/24\"", at >> 7, at << 1 & 0xff));
    let all: Vec<_> = others.chain(["\"198.51.100.0/24\"".to_owned()]).collect();
    let head =
        format!("[client]\nsource = \"x-forwarded-for\"\ntrusted_proxies = [{}]", all.join(", "));
    let values = ["203.0.113.9".to_owned()];
    asked(json_lines_rig(&head, &[EIGHT]), with_header("x-forwarded-for", &values))
}

/// What such requests cost a bare service.
pub fn bare_header() -> Box<dyn Rig> {
    asked(bare(), with_header("x-forwarded-for", &one("a")))
}

pub fn bare_padded_values() -> Box<dyn Rig> {
    asked(bare(), with_header("x-forwarded-for", &find(X_FORWARDED_FOR, "padded_values")))
}

pub fn bare_many_values() -> Box<dyn Rig> {
    asked(bare(), with_header("x-forwarded-for", &find(X_FORWARDED_FOR, "many_values")))
}

pub fn bare_path() -> Box<dyn Rig> {
    asked(bare(), with_path(&find(PATHS, "letters")))
}

pub fn bare_referrer() -> Box<dyn Rig> {
    asked(bare(), with_header("referer", &one("a")))
}

fn bare() -> Exchanges<impl super::Hello<NoBody>, NoBody> {
    Exchanges::new(hello())
}

fn asked<S: super::Hello<NoBody> + 'static>(
    mut rig: Exchanges<S, NoBody>,
    request: impl Fn() -> Request<NoBody> + Send + Sync + 'static,
) -> Box<dyn Rig> {
    rig.request = Box::new(request);
    Box::new(rig)
}

fn with_header(header: &'static str, values: &[String]) -> impl Fn() -> Request<NoBody> + use<> {
    let values: Vec<_> =
        values.iter().map(|value| HeaderValue::from_bytes(value.as_bytes()).unwrap()).collect();
    move || {
        let mut request = request();
        let headers = request.headers_mut();
        headers.remove(header);
        for value in &values {
            headers.append(HeaderName::from_static(header), value.clone());
        }
        request
    }
}

fn with_path(path: &str) -> impl Fn() -> Request<NoBody> + use<> {
    let uri: Uri = path.parse().expect("a path that a request can have");
    move || {
        let mut request = request();
        *request.uri_mut() = uri.clone();
        request
    }
}

fn one(part: &str) -> Vec<String> {
    vec![filled(part)]
}

fn escaped(text: &str) -> String {
    text.chars().flat_map(|char| ['\\', char]).collect()
}

/// `part` as often as it fits.
pub fn filled(part: &str) -> String {
    part.repeat(SIZE / part.len())
}

/// One of 32 hops (more are not read) that fill everything together.
fn padded(hop: &str, with: &str) -> String {
    let room = SIZE / 32 - hop.len();
    format!("{}{hop}", with.repeat(room / with.len()))
}
