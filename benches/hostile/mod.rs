//! Requests that try to make their record expensive: up to 8 KiB in every place that a leaf reads.
//!
//! Found by hand and by a search that mutated such values for the highest instruction count. The clients are
//! trusted (`10.0.0.0/8`, `2001:db8:ff::/48`, and the peer too), so that every list is walked as far as it
//! can be; what is not walked costs nothing. Plain data: whoever measures decides what of.

/// Where the bytes of a case belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    XForwardedFor,
    Forwarded,
    /// A header with a single address.
    Single,
    Referer,
    Path,
    Query,
    Host,
    AcceptLanguage,
    UserAgent,
    /// `Sec-CH-UA`.
    Brands,
}

/// One place of a request, and all header instances in it.
pub struct Case {
    pub name: &'static str,
    pub place: Place,
    pub values: Vec<Vec<u8>>,
}

/// The proxies that make these lists as long as they can be.
pub const TRUSTED: [&str; 2] = ["10.0.0.0/8", "2001:db8:ff::/48"];

const BYTES: usize = 8192;
const ELEMENTS: usize = 32;
const INSTANCES: usize = 32;

const IPV4: &str = "10.255.255.255";
const IPV6: &str = "2001:0db8:00ff:ffff:ffff:ffff:ffff:ffff";
const MIXED: &str = "[2001:0db8:00ff:ffff:ffff:ffff:255.255.255.255]:65535";
const EMBEDDED: &str = "[0000:0000:0000:0000:0000:ffff:10.255.255.255]:65535";

fn filled(part: &str) -> String {
    part.repeat(BYTES / part.len())
}

/// As many of them as are walked, then padding between them up to 8 KiB.
fn hops(hop: &str, padding: &str) -> String {
    let room = (BYTES / ELEMENTS).saturating_sub(hop.len() + 1);
    let padding = padding.repeat(room / padding.len().max(1));
    format!("{hop}{padding},").repeat(ELEMENTS)
}

fn one(place: Place, name: &'static str, value: impl Into<Vec<u8>>) -> Case {
    Case { name, place, values: vec![value.into()] }
}

fn many(place: Place, name: &'static str, value: &str, count: usize) -> Case {
    Case { name, place, values: vec![value.as_bytes().to_vec(); count] }
}

/// All of them.
pub fn cases() -> Vec<Case> {
    [
        x_forwarded_for(),
        forwarded(),
        single(),
        referrers(),
        targets(),
        hosts(),
        languages(),
        agents(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn x_forwarded_for() -> Vec<Case> {
    let place = Place::XForwardedFor;
    vec![
        one(place, "usual", "198.51.100.7, 10.0.0.2"),
        one(place, "commas", filled(",")),
        one(place, "blanks", filled(" ")),
        one(place, "tabs and commas", filled("\t, ")),
        one(place, "letters", filled("a")),
        one(place, "colons", filled(":")),
        one(place, "quotes", filled("\"")),
        one(place, "not text", vec![0xff; BYTES]),
        one(place, "32 IPv4 hops", hops(IPV4, "")),
        one(place, "32 IPv6 hops", hops(IPV6, "")),
        one(place, "32 IPv6 hops with ports", hops(MIXED, "")),
        one(place, "32 embedded hops", hops(EMBEDDED, "")),
        one(place, "32 short hops, commas between", hops("10.0.0.1", ",")),
        one(place, "32 IPv4 hops, commas between", hops(IPV4, ",")),
        one(place, "32 IPv4 hops, blanks between", hops(IPV4, " ")),
        one(place, "32 IPv6 hops, commas between", hops(IPV6, ",")),
        one(place, "32 IPv6 hops, blanks between", hops(IPV6, " ")),
        one(place, "32 hops with ports, blanks between", hops(MIXED, " ")),
        one(place, "32 embedded hops, commas between", hops(EMBEDDED, ",")),
        many(place, "32 empty instances", "", INSTANCES),
        many(place, "32 blank instances", &" ".repeat(BYTES / INSTANCES), INSTANCES),
        many(place, "32 odd blank instances", &" ".repeat(BYTES / INSTANCES - 1), INSTANCES),
        many(place, "32 instances of a hop", MIXED, ELEMENTS),
        many(place, "32 instances of an IPv4 hop", IPV4, ELEMENTS),
        many(place, "32 instances of an IPv6 hop", IPV6, ELEMENTS),
        many(
            place,
            "32 instances of a hop and blanks",
            &format!(",{IPV4}{}", " ".repeat(242)),
            ELEMENTS,
        ),
        Case {
            name: "16 instances of a hop, 16 blank ones",
            place,
            values: vec![[MIXED.to_owned(), " ".repeat(BYTES / 16 - MIXED.len())]; 16]
                .concat()
                .into_iter()
                .map(String::into_bytes)
                .collect(),
        },
    ]
}

fn forwarded() -> Vec<Case> {
    let place = Place::Forwarded;
    let eight = "a=1;b=2;c=3;d=4;e=5;f=6;g=7";
    let quoted = format!("for=\"{MIXED}\"");
    let escaped: String = MIXED.chars().flat_map(|char| ['\\', char]).collect();
    vec![
        one(place, "usual", "for=198.51.100.7;proto=https;by=10.0.0.1, for=10.0.0.2"),
        one(place, "commas", filled(",")),
        one(place, "blanks", filled(" ")),
        one(place, "semicolons", filled(";")),
        one(place, "blank semicolons", filled(" ;")),
        one(place, "equals", filled("=")),
        one(place, "letters", filled("a")),
        one(place, "quotes", filled("\"")),
        one(place, "backslashes", filled("\\")),
        one(place, "escaped quotes", filled("\\\"") + "\""),
        one(place, "backslashes in quotes", format!("\"{}\"", "\\".repeat(BYTES - 2))),
        one(place, "letters in quotes", format!("for=\"{}\"", "a".repeat(BYTES - 6))),
        one(place, "not text", vec![0xff; BYTES]),
        one(place, "32 IPv4 hops", hops(&format!("for={IPV4}"), "")),
        one(place, "32 IPv6 hops", hops(&format!("for=\"[{IPV6}]\""), "")),
        one(place, "32 IPv6 hops with ports", hops(&quoted, "")),
        one(place, "32 embedded hops", hops(&format!("for=\"{EMBEDDED}\""), "")),
        one(place, "32 hops, blanks between", hops(&quoted, " ")),
        one(place, "32 hops, commas between", hops(&quoted, ",")),
        one(place, "32 hops, semicolons between", hops(&quoted, ";")),
        one(place, "32 hops, blank semicolons between", hops(&quoted, "; ")),
        one(place, "32 escaped hops", hops(&format!("for=\"{escaped}\""), "")),
        one(place, "32 hops of 8 parameters", hops(&format!("{eight};for=10.0.0.1"), "")),
        one(place, "32 IPv6 hops of 8 parameters", hops(&format!("{eight};{quoted}"), "")),
        one(place, "32 IPv6 hops of 8 parameters, blanks", hops(&format!("{eight};{quoted}"), " ")),
        one(place, "32 hops by proxies", hops(&format!("{quoted};by=\"{MIXED}\""), "")),
        one(
            place,
            "32 hops as proxies write them",
            hops(&format!("for=\"{IPV6}\";host=app.example.com;proto=https;by=\"{IPV6}\""), ""),
        ),
        one(
            place,
            "32 hops with a long host",
            hops(&format!("for={IPV4};host={}", "a".repeat(200)), ""),
        ),
        one(
            place,
            "32 hops with a long quoted host",
            hops(&format!("for={IPV4};host=\"{}\"", "a".repeat(200)), ""),
        ),
        many(place, "32 empty instances", "", INSTANCES),
        many(place, "32 semicolons", ";", INSTANCES),
        many(place, "32 instances of a hop", &quoted, ELEMENTS),
        many(place, "32 instances of an IPv4 hop", &format!("for={IPV4}"), ELEMENTS),
        many(place, "32 instances of an IPv6 hop", &format!("for=\"[{IPV6}]\""), ELEMENTS),
        Case {
            name: "31 instances of a hop, then parameters",
            place,
            values: [vec![b"ab=2;".repeat(16)], vec![b"for=10.255.255.255".to_vec(); ELEMENTS - 1]]
                .concat(),
        },
    ]
}

fn single() -> Vec<Case> {
    let place = Place::Single;
    vec![
        one(place, "usual", "198.51.100.7"),
        one(place, "blanks", filled(" ")),
        one(place, "letters", filled("a")),
        one(place, "an address behind blanks", format!("{}{IPV6}", " ".repeat(BYTES - IPV6.len()))),
        one(place, "an address before blanks", format!("{IPV6}{}", " ".repeat(BYTES - IPV6.len()))),
        one(
            place,
            "an address among blanks",
            format!("{0}{IPV6}{0}", " ".repeat((BYTES - IPV6.len()) / 2)),
        ),
        many(place, "32 instances", IPV6, INSTANCES),
    ]
}

fn referrers() -> Vec<Case> {
    let place = Place::Referer;
    let label = "a".repeat(63);
    let name = format!("{label}.{label}.{label}.example");
    let rest = |start: &str, part: &str| {
        let count = (BYTES - start.len()) / part.len();
        format!("{start}{}", part.repeat(count))
    };
    vec![
        one(place, "usual", "https://www.example.com/a/b?c"),
        one(place, "letters", filled("a")),
        one(place, "blanks", filled(" ")),
        one(place, "not text", vec![0xff; BYTES]),
        one(place, "a long path", rest("https://example.com/", "a")),
        one(place, "a path of escapes", rest("https://example.com/", "\t")),
        one(place, "a path of backslashes", rest("https://example.com/", "\\")),
        one(place, "a short path of letters", "https://example.com/".to_owned() + &"é".repeat(240)),
        one(
            place,
            "a short path of signs",
            "https://example.com/".to_owned() + &"\u{200b}".repeat(160),
        ),
        one(place, "a long name", rest(&format!("https://{name}/"), "a")),
        one(place, "a long user", rest("https://", "a@")),
        one(place, "colons for a user", rest("https://", ":")),
        one(place, "dots", rest("https://", ".")),
        one(place, "numbers", rest("https://", "0.")),
        one(place, "one number", rest("https://", "1")),
        one(place, "one hexadecimal number", rest("https://0x", "0")),
        one(place, "a name in percent", rest("https://", "%61") + "/"),
        one(place, "a short name in percent", format!("https://{}/", "%61".repeat(63))),
        one(place, "a name of letters", format!("https://{}.example/", "é".repeat(28))),
        one(place, "a name of capitals", format!("https://{}.example/", "É".repeat(28))),
        one(place, "labels of letters", format!("https://{}example/", "é.".repeat(19))),
        one(place, "labels of punycode", format!("https://{}example/", "xn--9ca.".repeat(7))),
        one(place, "a name of punycode", format!("https://xn--{}/", "a".repeat(59))),
        one(place, "long punycode", format!("https://{}example/", "xn--9ca.".repeat(30))),
        one(
            place,
            "a name of everything",
            "https://xn--9caaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%61\u{200b}example.comhttps/"
                .to_owned(),
        ),
        one(place, "an address", rest("https://[", "0:")),
        one(place, "blanks before", format!("{}https://example.com/", " ".repeat(BYTES - 20))),
        one(place, "blanks behind", rest("https://example.com", " ")),
        many(
            place,
            "32 instances",
            &rest("https://example.com/", "a")[..BYTES / INSTANCES],
            INSTANCES,
        ),
    ]
}

fn targets() -> Vec<Case> {
    let mut cases = vec![one(Place::Path, "usual", "/users/42")];
    for (name, part) in [
        ("letters", "a"),
        ("segments", "/a"),
        ("slashes", "/"),
        ("percent signs", "%"),
        ("encoded letters", "%61"),
        ("encoded slashes", "%2f"),
        ("encoded percent signs", "%25"),
        ("doubly encoded slashes", "/%252f"),
        ("encoded marks, cut", "%25%2"),
        ("parameters", "/a;b"),
        ("semicolons", ";"),
        ("letters beyond ASCII", "é"),
        ("unseen signs", "\u{200b}"),
        ("unseen signs among encoded ones", "%25aé\u{200b}"),
    ] {
        cases.push(one(Place::Path, name, format!("/{}", filled(part))));
    }
    cases.push(one(Place::Query, "usual", "page=1"));
    for (name, part) in [
        ("letters", "a"),
        ("pairs", "a&"),
        ("ampersands", "&"),
        ("equals", "="),
        ("declared pairs", "page=1&"),
        ("declared keys, encoded", "%70%61%67%65&"),
        ("nearly declared keys", "%70%61%67%66&"),
        (
            "nearly declared keys behind long values",
            "%70%61%67%66=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&",
        ),
        ("a key in percent", "%61"),
        ("declared values of percent signs", "page=%%%%&"),
        ("declared values of encoded letters", "page=%61%61&"),
        ("declared values beyond ASCII", "page=éé&"),
        ("declared secrets", "sig=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&"),
    ] {
        cases.push(one(Place::Query, name, filled(part)));
    }
    for (name, part) in [
        ("a value of letters", "a"),
        ("a value of percent signs", "%"),
        ("a value in percent", "%61"),
        ("a value beyond ASCII", "é"),
        ("a value of quotes", "\""),
    ] {
        cases.push(one(Place::Query, name, format!("page={}", filled(part))));
    }
    cases
}

fn hosts() -> Vec<Case> {
    let place = Place::Host;
    let name = format!("{0}.{0}.{0}.example", "a".repeat(63));
    vec![
        one(place, "usual", "app.example.com"),
        one(place, "letters", filled("a")),
        one(place, "dots", filled("a.")),
        one(place, "a long name", name),
        one(place, "a long user", "a@".repeat(500) + "example.com"),
        one(place, "labels of punycode", "xn--9ca.".repeat(7) + "example"),
        one(place, "long punycode", "xn--9ca.".repeat(30) + "example"),
        one(place, "a name in percent", "%61".repeat(63)),
        one(place, "a long name in percent", "%61".repeat(300)),
        one(place, "encoded letters", "%c3%a9".repeat(28) + ".example"),
        one(place, "numbers", "0.".repeat(500)),
        one(place, "an address", "[2001:0db8:00ff:ffff:ffff:ffff:ffff:ffff]:443"),
    ]
}

fn languages() -> Vec<Case> {
    let place = Place::AcceptLanguage;
    vec![
        one(place, "usual", "de-CH,de;q=0.9,en;q=0.8"),
        one(place, "letters", filled("a")),
        one(place, "commas", filled(",")),
        one(place, "blanks", filled(" ")),
        one(place, "blanks around a language", format!("{0}de{0}", " ".repeat(BYTES / 2 - 1))),
        one(place, "languages", filled("en,")),
        one(place, "weighed languages", filled("en;q=0.001,")),
        one(
            place,
            "long ranges",
            filled("abcdefgh-abcdefgh-abcdefgh-abcdefgh-abcdefgh-abcdefgh-a;q=0.999,"),
        ),
        one(
            place,
            "short subtags",
            filled("ab-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a;q=0.999,"),
        ),
        one(place, "beyond ASCII", filled("é")),
        one(place, "beyond ASCII behind a language", "de,".to_owned() + &"é".repeat(BYTES / 2 - 2)),
        one(
            place,
            "beyond ASCII behind 16 languages",
            "de,".repeat(16) + &"é".repeat(BYTES / 2 - 24),
        ),
    ]
}

fn agents() -> Vec<Case> {
    let place = Place::UserAgent;
    vec![
        one(
            place,
            "usual",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        one(place, "letters", filled("a")),
        one(place, "words", filled("a ")),
        one(place, "numbers", filled("1")),
        one(place, "blanks", filled(" ")),
        one(place, "beyond ASCII", filled("é")),
        one(place, "unseen signs", filled("\u{200b}")),
        one(place, "controls", vec![b'\t'; BYTES]),
        one(place, "backslashes", filled("\\")),
        one(place, "not text", vec![0xff; BYTES]),
        one(place, "browsers", filled("Firefox/999 Chrome/999 ")),
        one(place, "robots", filled("xbot xmonitoring ")),
        one(place, "near robots", filled("ag bg cg ")),
        one(place, "long words", filled("abcdefghijklmnopqg ")),
        one(Place::Brands, "usual", r#""Google Chrome";v="131", "Chromium";v="131""#),
        one(Place::Brands, "letters", filled("a")),
        one(Place::Brands, "brands", r#""Opera GX";v="9","#.repeat(28) + r#""Opera""#),
        one(Place::Brands, "short brands", r#""","#.repeat(127) + r#""""#),
        one(Place::Brands, "parameters", format!("\"Opera\"{}", ";v=\"1\"".repeat(84))),
        one(Place::Brands, "escapes", format!("\"{}\"", r"\\".repeat(254))),
    ]
}
