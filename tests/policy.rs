//! A policy that exists is valid: every mistake stops the start with a sentence.
//!
//! `policies/bad` holds one bad policy a file beside the exact sentences that it gets, which name
//! line, column and key; `policies/good` holds policies beside their digests. TOML, serde and the
//! builder declare the same things, and what declares the same has the same digest.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::format_collect,
    reason = "a test stops at what it did not expect"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tower_privacy_log::Policy;

#[path = "policy/built.rs"]
mod built;

const SECRET: &str = "3f8a1c5e9b2d7046f1e8c3a5d9b70264e1f8a3c5d7b9206418f3a5c7e9d1b062";

/// The files of one kind of policy, by name.
fn policies(kind: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies").join(kind);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn good(name: &str) -> String {
    let file = format!("{name}.toml");
    let found = policies("good").into_iter().find(|(path, _)| path.ends_with(&file));
    found.expect("the policy is there").1
}

fn parsed(text: &str) -> Policy {
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn sentences(text: &str) -> String {
    text.parse::<Policy>().map_or_else(|error| error.to_string(), |_| "it is valid".to_owned())
}

fn hex(digest: [u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `policy: line L, column C: KEY: SENTENCE`, with a line that the text has.
fn is_placed(sentence: &str, text: &str) -> bool {
    let parts = || {
        let (line, rest) = sentence.strip_prefix("policy: line ")?.split_once(", column ")?;
        let (column, rest) = rest.split_once(": ")?;
        let (key, rest) = rest.split_once(": ")?;
        Some((line.parse::<usize>().ok()?, column.parse::<usize>().ok()?, key, rest))
    };
    parts().is_some_and(|(line, column, key, rest)| {
        let lines = text.split('\n').count();
        (1..=lines).contains(&line) && column >= 1 && !key.is_empty() && !rest.is_empty()
    })
}

#[test]
fn every_bad_policy_gets_its_sentences_to_the_letter() {
    let bad = policies("bad");
    assert!(bad.len() >= 40, "only {} bad policies", bad.len());
    let mut wrong = Vec::new();
    for (path, text) in &bad {
        let golden = path.with_extension("txt");
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        let actual = sentences(text);
        if expected.trim_end() != actual {
            wrong.push(format!("{}:\n{actual}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "these sentences are not in the files:\n\n{}", wrong.join("\n\n"));
}

#[test]
fn every_sentence_names_line_column_and_key() {
    for (path, text) in policies("bad") {
        for sentence in sentences(&text).lines() {
            assert!(is_placed(sentence, &text), "{}: {sentence}", path.display());
        }
    }
}

#[test]
fn mistakes_that_a_reader_can_see_past_are_reported_together() {
    let text = good("minimal")
        .replace("\"contract\"", "contract")
        .replace("retention = \"30d\"", "retention = \"30d\"\nretention = \"1d\"")
        .replace("service-monitoring", "service");
    let sentences = sentences(&text);
    assert_eq!(sentences.lines().count(), 3, "{sentences}");
    assert_eq!(
        sentences.lines().next(),
        Some(
            "policy: line 4, column 12: log.access.purpose: unknown word \"service\"; expected \
             \"security\", \"misuse-prevention\", \"fraud-prevention\", \"service-provision\", \
             \"service-monitoring\", \"robustness\", \"usage-analytics\", \"rights-fulfilment\" \
             or \"legal-compliance\""
        )
    );
}

#[test]
fn a_pasted_key_is_never_quoted() {
    let pasted = policies("bad").into_iter().filter(|(_, text)| text.contains(SECRET));
    let mut texts: Vec<String> = pasted.map(|(_, text)| text).collect();
    assert!(texts.len() >= 4);
    for place in ["\"contract\"", "\"30d\"", "\"service-monitoring\"", "\"http.route\"", "\"keep\""]
    {
        texts.push(good("minimal").replace(place, &format!("\"{SECRET}\"")));
        texts.push(good("minimal").replace(place, SECRET));
    }
    for keys in
        ["{ env = \"K\" }", "{ value = \"K\" }", "[\"K\"]", "\"K", "K\"", "= K", "{ file = K }"]
    {
        texts.push(format!("[pseudonyms]\nkeys = {}\n", keys.replace('K', &format!("a{SECRET}"))));
    }
    texts.push(format!("{SECRET}\n"));
    texts.push(format!("[{SECRET}\n"));
    for text in texts {
        let sentences = sentences(&text);
        let leaked = SECRET.as_bytes().windows(12).map(|part| str::from_utf8(part).unwrap());
        for part in leaked {
            assert!(!sentences.contains(part), "{part} of the key is in: {sentences}\n{text}");
        }
    }
}

#[test]
fn a_value_with_line_breaks_stays_on_one_line() {
    let text = good("minimal").replace("\"30d\"", "\"30\\n\\u001b[31md\"");
    let expected = "policy: line 6, column 13: log.access.retention: expected a whole number above zero and ms, s, m, h, d or w in quotes, such as \"30d\"; found \"30\\n\\u{1b}[31md\"";
    assert_eq!(sentences(&text), expected);
}

#[test]
fn a_file_is_named_in_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("privacy.toml");
    fs::write(&path, good("minimal").replace("30d", "30").replace("contract", "no")).unwrap();
    let sentences = Policy::read(&path).unwrap_err().to_string();
    let place = path.display().to_string();
    assert_eq!(sentences.lines().count(), 2);
    assert!(sentences.lines().all(|line| line.starts_with(&format!("{place}: line "))));
    fs::remove_file(&path).unwrap();
    let sentence = Policy::read(&path).unwrap_err().to_string();
    assert_eq!(sentence, format!("{place}: cannot read the policy: entity not found"));
}

#[test]
fn as_many_logs_as_a_record_has_bits_are_valid() {
    let log = |n: usize| {
        format!(
            "[log.l{n}]\npurpose = [\"security\"]\nlegal_basis = \"contract\"\nretention = \"1d\"\nfields = {{ \"http.route\" = \"keep\" }}\n"
        )
    };
    let text =
        |logs: usize| "policy = \"shop-1\"\n".to_owned() + &(0..logs).map(log).collect::<String>();
    parsed(&text(32));
    assert!(sentences(&text(33)).contains("expected at most 32 logs in a policy, found 33"));
}

#[test]
fn a_good_policy_survives_toml_and_json() {
    for (path, text) in policies("good") {
        let policy = parsed(&text);
        let toml = parsed(&toml::to_string(&policy).unwrap());
        let json: Policy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
        let value: Policy = serde_json::from_value(serde_json::to_value(&policy).unwrap()).unwrap();
        let serde: Policy = toml::from_str(&text).unwrap();
        for again in [toml, json, value, serde] {
            assert_eq!(again, policy, "{}", path.display());
            assert_eq!(again.digest(), policy.digest());
            assert_eq!(again.reference(), policy.reference());
        }
    }
}

#[test]
fn the_digests_of_the_good_policies_do_not_drift() {
    for (path, text) in policies("good") {
        let golden = fs::read_to_string(path.with_extension("digest")).unwrap_or_default();
        assert_eq!(hex(parsed(&text).digest()), golden.trim_end(), "{}", path.display());
    }
}

#[test]
fn the_demo_has_the_policy_of_the_design() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/imgs2.toml");
    assert_eq!(Policy::read(demo).unwrap(), parsed(&good("design")));
}

#[test]
fn the_readme_shows_the_reference_of_its_policy() {
    let readme = include_str!("../README.md");
    let text = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let reference = parsed(text).reference();
    assert!(readme.contains(&reference), "README.md does not show {reference}");
}

#[test]
fn comments_order_and_the_spelling_of_defaults_do_not_change_the_digest() {
    let plain = parsed(&good("minimal"));
    let spelled = r#"
        # Everything that is left out, said.
        [log.access]
        respect = []
        app_fields = {}
        recipients = []
        fields."http.route" = { keep = true } # the same as "keep"
        retention = '720h'
        legal_basis = """contract"""
        purpose = [ "service-monitoring", ]
        [pseudonyms]
        forget = "1w"
        rotate = "86400s"
        keys = "memory"
        [client]
        nat64_prefixes = []
        trusted_proxies = []
        source = "peer"
    "#;
    let spelled = format!("policy = \"shop-1\"\n{spelled}");
    assert_eq!(parsed(&spelled).digest(), plain.digest());
    assert_eq!(parsed(&good("minimal").replace('\n', "\r\n")).digest(), plain.digest());
}

/// Pairs that say the same in `everything.toml`.
const SAME: &[(&str, &str)] = &[
    ("\"192.0.2.0/24\", \"198.51.100.7\"", "\"198.51.100.7/32\", \"192.0.2.0/24\""),
    ("\"192.0.2.0/24\"", "\"192.0.2.99/24\""),
    ("2001:db8::/32", "2001:DB8:0::/32"),
    ("2001:db8:1::1\"", "2001:db8:1:0::1/128\""),
    ("\"2001:db8:64::/96\", \"2001:db8:32::/48\"", "\"2001:db8:32::/48\", \"2001:db8:64::/96\""),
    ("rotate = \"12h\"", "rotate = \"720m\""),
    ("forget = \"2d\"", "forget = \"48h\""),
    ("\"security\", \"misuse-prevention\"", "\"misuse-prevention\", \"security\""),
    (
        "\"Example Hosting (hosting)\", \"Example Mail (alerts)\"",
        "\"Example Mail (alerts)\", \"Example Hosting (hosting)\"",
    ),
    (
        "\"keeping the service available and secure\"",
        "\" keeping the service available and secure \"",
    ),
    ("\"timestamp\" = \"precision\"", "\"timestamp\" = { precision = \"1s\" }"),
    ("duration\" = \"precision\"", "duration\" = { precision = \"1ms\" }"),
    ("size\" = \"round\"", "size\" = { round = 1_024 }"),
    ("\"truncate\"", "{ ipv4 = 24, ipv6 = 0x30 }"),
    ("\"truncate\"", "{ ipv6 = 48 }"),
    ("\"pseudonymize\"\n\"url.path\"", "{ ipv6 = 64 }\n\"url.path\""),
    ("\"origin\"", "{ origin = true }"),
    ("[\"en\", \"de\"]", "[\"de\", \"en\"]"),
    ("[\"free\", \"paid\"]", "[\"paid\", \"free\"]"),
    ("\"page\", \"größe\"", "\"gr\\u00f6\\u00dfe\", \"page\""),
];

/// Changes of what `everything.toml` means, no two alike.
const CHANGES: &[(&str, &str)] = &[
    ("All.2026", "all.2026"),
    ("Bücher & Co", "Bucher & Co"),
    ("privacy@example.com", "dpo@example.com"),
    ("[controller]\nname = \"Bücher & Co\"\ncontact = \"privacy@example.com\"\n", ""),
    ("source = \"x-forwarded-for\"", "source = \"forwarded\""),
    ("source = \"x-forwarded-for\"", "source = \"cf-connecting-ip\""),
    ("source = \"x-forwarded-for\"", "source = \"true-client-ip\""),
    ("source = \"x-forwarded-for\"", "source = \"fly-client-ip\""),
    ("source = \"x-forwarded-for\"", "source = \"x-real-ip\""),
    ("source = \"x-forwarded-for\"\n", ""),
    ("192.0.2.0/24", "192.0.2.0/25"),
    ("192.0.2.0/24", "private"),
    ("192.0.2.0/24", "cloudflare"),
    (", \"198.51.100.7\"", ""),
    ("2001:db8:64::/96", "2001:db8:65::/96"),
    (", \"2001:db8:32::/48\"", ""),
    ("{ file = \"/etc/shop/privacy.keys\" }", "\"memory\""),
    ("{ file = \"/etc/shop/privacy.keys\" }", "{ env = \"PRIVACY_KEYS\" }"),
    ("/etc/shop/privacy.keys", "/etc/shop/other.keys"),
    ("rotate = \"12h\"", "rotate = \"13h\""),
    ("forget = \"2d\"", "forget = \"3d\""),
    (", \"fraud-prevention\"", ""),
    ("\"fraud-prevention\"", "\"robustness\""),
    ("available and secure", "available"),
    ("\"30d\"", "\"31d\""),
    (", \"Example Mail (alerts)\"", ""),
    ("Example Mail", "Example Post"),
    ("respect = [\"sec-gpc\"]\n", ""),
    ("precision = \"1ms\"", "precision = \"2ms\""),
    ("\"timestamp\" = { precision = \"1ms\" }\n", ""),
    ("ipv4 = 28", "ipv4 = 29"),
    ("ipv6 = 56, accept", "ipv6 = 57, accept"),
    ("abuse reports name", "abuse reports cite"),
    ("{ ipv6 = 56 }", "{ ipv6 = 64 }"),
    ("depth = 2", "depth = 3"),
    ("\"page\", ", ""),
    ("\"größe\"", "\"Größe\""),
    ("\"page\", \"größe\"", "\"page,größe\""),
    ("\"example.com\", \"[2001", "\"example.org\", \"[2001"),
    (", \"192.0.2.1\"", ""),
    (
        "\"keep\"\n\"http.request.header.referer\" = { path",
        "\"class\"\n\"http.request.header.referer\" = { path",
    ),
    ("{ path = true, accept_risk = \"links to moved pages\" }", "\"origin\""),
    ("links to moved pages", "dead links"),
    ("a bot is being hunted", "bots"),
    ("\"user_agent.original\" = { keep = true, accept_risk = \"a bot is being hunted\" }\n", ""),
    ("\"en\", \"de\"", "\"en\", \"fr\""),
    ("precision = \"10ms\"", "precision = \"20ms\""),
    ("round = 512", "round = 513"),
    ("round = 4096", "round = 8192"),
    ("\"rpc.grpc.status_code\" = \"keep\"\n", ""),
    ("\"generation.model\" = \"keep\"", "\"generation.model\" = \"pseudonymize\""),
    ("\"generation.model\"", "\"generation.Model\""),
    ("\"user.hash\" = \"pseudonymize\"", "\"user.hash\" = \"keep\""),
    ("\"free\", \"paid\"", "\"free\""),
    ("\"free\", \"paid\"", "\" free\", \"paid\""),
    ("log.paths", "log.roads"),
    ("\"public-task\"", "\"contract\""),
    ("36h", "35h"),
    ("\"timestamp\" = \"precision\"", "\"timestamp\" = { precision = \"1d\" }"),
    ("{ keep = true, accept_risk = \"the network's operator asks for it\" }", "\"truncate\""),
    ("{ keep = true, accept_risk = \"no route says enough\" }", "{ depth = 16 }"),
    ("\"relation\"", "\"origin\""),
    ("\"consent\"", "\"contract\""),
    ("500ms", "501ms"),
    ("\"http.request.header.referer\" = \"origin\"\n", ""),
    ("\"order.number\"", "\"order.name\""),
];

fn changed(text: &str, from: &str, to: &str) -> Policy {
    assert!(text.contains(from), "{from} is in the policy");
    parsed(&text.replacen(from, to, if from.starts_with("log.") { 9 } else { 1 }))
}

#[test]
fn another_spelling_gives_the_same_digest() {
    let text = good("everything");
    for (from, to) in SAME {
        assert_eq!(changed(&text, from, to), parsed(&text), "{from} -> {to}");
    }
}

#[test]
fn every_change_of_meaning_gives_another_digest() {
    let text = good("everything");
    let mut seen = BTreeMap::from([(parsed(&text).digest(), &("", ""))]);
    for change in CHANGES {
        let digest = changed(&text, change.0, change.1).digest();
        assert_eq!(seen.insert(digest, change), None, "{change:?}");
    }
}

#[test]
fn deleting_any_declaration_gives_another_digest_or_a_sentence() {
    let text = good("everything");
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ")) {
        let mut fewer = lines.clone();
        fewer.remove(at);
        if let Ok(policy) = fewer.join("\n").parse::<Policy>() {
            assert_ne!(policy, parsed(&text), "without: {line}");
        }
    }
}

#[test]
fn json_is_refused_by_key() {
    let json = |from: &str, to: &str| {
        let text = serde_json::to_string(&parsed(&good("minimal"))).unwrap();
        assert!(text.contains(from), "{from} is in {text}");
        let changed = text.replacen(from, to, 1);
        serde_json::from_str::<Policy>(&changed).map_err(|error| error.to_string())
    };
    for (from, to, sentence) in [
        (
            "\"retention\":\"30d\"",
            "\"retention\":30",
            "policy: log.access.retention: expected a whole number above zero and ms, s, m, h, d or w in quotes, such as \"30d\"; found a number",
        ),
        (
            "\"retention\":\"30d\"",
            "\"retention\":null",
            "policy: log.access.retention: expected a whole number above zero and ms, s, m, h, d or w in quotes, such as \"30d\"; found nothing",
        ),
        (
            "\"retention\":\"30d\"",
            "\"retention\":\"30d\",\"mode\":1",
            "policy: log.access.mode: unknown key; expected \"purpose\", \"legal_basis\", \"interest\", \"retention\", \"recipients\", \"respect\", \"fields\" or \"app_fields\"",
        ),
        (
            "\"retention\":\"30d\"",
            "\"retention\":\"30d\",\"retention\":\"30d\"",
            "policy: log.access.retention: is given twice; expected once",
        ),
        (
            "\"policy\":\"shop-1\"",
            "\"policy\":\"shop-1\",\"policy\":\"shop-1\"",
            "policy: policy: is given twice; expected once",
        ),
        (
            "\"source\":\"peer\"",
            "\"source\":\"peer\",\"source\":\"peer\"",
            "policy: client.source: is given twice; expected once",
        ),
        (
            "\"http.route\":\"keep\"",
            "\"http.route\":\"keep\",\"http.route\":\"keep\"",
            "policy: log.access.fields.\"http.route\": is given twice; expected once",
        ),
        (
            "\"http.route\":\"keep\"",
            "\"url.path\":{\"depth\":1,\"depth\":2}",
            "policy: log.access.fields.\"url.path\".depth: is given twice; expected once",
        ),
        (
            "\"app_fields\":{}",
            "\"app_fields\":{\"a\":{\"allow\":[\"b\"],\"allow\":[\"c\"]}}",
            "policy: log.access.app_fields.a.allow: is given twice; expected once",
        ),
        (
            "\"keys\":\"memory\"",
            "\"keys\":{\"env\":\"A\",\"env\":\"B\"}",
            "policy: pseudonyms.keys: expected \"memory\", { file = \"PATH\" } or { env = \"NAME\" }; a key itself never stands in a policy, so what was found is not shown",
        ),
        (
            "\"keys\":\"memory\"",
            &format!("\"keys\":\"{SECRET}\""),
            "policy: pseudonyms.keys: expected \"memory\", { file = \"PATH\" } or { env = \"NAME\" }; a key itself never stands in a policy, so what was found is not shown",
        ),
    ] {
        assert_eq!(json(from, to), Err(sentence.to_owned()), "{to}");
    }
    assert_eq!(
        serde_json::from_str::<Policy>("[]").unwrap_err().to_string(),
        "policy: policy: expected a table, found a list"
    );
}

#[test]
fn debug_shows_only_the_reference() {
    let policy = parsed(&good("everything"));
    assert_eq!(format!("{policy:?}"), format!("Policy(\"{}\")", policy.reference()));
    assert_eq!(format!("{policy:#?}"), format!("Policy(\n    \"{}\",\n)", policy.reference()));
    assert_eq!(policy.reference(), format!("All.2026_01-31@{}", &hex(policy.digest())[..8]));
}

/// A policy, or sentences that all have a place.
fn holds(text: &str) -> Result<(), TestCaseError> {
    match text.parse::<Policy>() {
        Ok(policy) => {
            let again: Policy = toml::to_string(&policy).unwrap().parse().unwrap();
            prop_assert_eq!(again, policy);
        }
        Err(error) => {
            let sentences = error.to_string();
            prop_assert!(!sentences.is_empty());
            for sentence in sentences.lines() {
                prop_assert!(is_placed(sentence, text), "{sentence}\n{text}");
            }
        }
    }
    Ok(())
}

fn tomlish() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "policy|log|client|pseudonyms|controller|access|fields|app_fields|keys|purpose",
        "\"(client\\.address|http\\.route|url\\.path|keep|security|30d|memory|truncate)\"",
        "accept_risk|precision|ipv4|allow|depth|true|True|[0-9]{1,20}|0x[0-9a-f]{2}|1979-05-27",
        "[\\[\\]{}=.,:#\"'\n\r\t \\\\-]{1,3}",
        "\\PC{0,3}",
    ];
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

fn good_text() -> impl Strategy<Value = String> {
    prop::sample::select(vec![good("design"), good("everything"), good("minimal")])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn text_that_looks_like_toml_never_panics(text in tomlish()) {
        holds(&text)?;
    }

    #[test]
    fn any_text_never_panics(text in any::<String>()) {
        holds(&text)?;
    }

    #[test]
    fn a_line_that_is_deleted_doubled_or_moved_never_panics(
        text in good_text(),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        delete in any::<bool>(),
    ) {
        let mut lines: Vec<&str> = text.lines().collect();
        let (from, to) = (from.index(lines.len()), to.index(lines.len()));
        let line = if delete { lines.remove(from) } else { lines[from] };
        holds(&lines.join("\n"))?;
        lines.insert(to.min(lines.len()), line);
        holds(&lines.join("\n"))?;
    }

    #[test]
    fn a_character_that_is_replaced_or_left_out_never_panics(
        text in good_text(),
        at in any::<prop::sample::Index>(),
        with in prop_oneof!["", "[\"'=.\\[\\]{}#,\n]", "\\PC", "[0-9a-z]"],
    ) {
        let (offset, old) = text.char_indices().nth(at.index(text.chars().count())).unwrap();
        let (before, after) = (&text[..offset], &text[offset + old.len_utf8()..]);
        holds(&format!("{before}{with}{after}"))?;
    }

    #[test]
    fn a_piece_that_is_cut_out_never_panics(
        text in good_text(),
        from in any::<prop::sample::Index>(),
        length in 0_usize..80,
    ) {
        let start = from.index(text.chars().count());
        let kept = text.chars().take(start).chain(text.chars().skip(start + length));
        holds(&kept.collect::<String>())?;
    }
}
