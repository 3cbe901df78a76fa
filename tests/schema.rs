//! The JSON Schema judges a policy as the reader does: every good policy is valid under it, and
//! every bad one is refused, except for what a schema cannot judge, which is listed with a reason.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;
use tower_privacy_log::{Field, Policy};

const COMMITTED: &str = "schema/policy.schema.json";

/// Bad policies, by the name behind their number, that a schema lets pass.
const BEYOND: [(&str, &str); 5] = [
    ("client-prefix-twice", "two spellings of one network are two texts"),
    ("pseudonyms-forget-short", "it compares two values"),
    ("pseudonyms-forget-long", "it compares two values"),
    ("app-case", "it compares names with each other, case aside"),
    ("app-refused", "headers that are refused by name are no closed list"),
];

fn schema() -> Value {
    schemars::schema_for!(Policy).to_value()
}

fn validator() -> Validator {
    jsonschema::validator_for(&schema()).expect("the schema is a schema")
}

fn policies(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies").join(folder);
    let entries = fs::read_dir(folder).expect("golden policies");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    assert!(!paths.is_empty());
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn tree(text: &str) -> Option<Value> {
    toml::from_str::<toml::Value>(text).ok().map(|tree| serde_json::to_value(tree).unwrap())
}

fn complaints(validator: &Validator, tree: &Value) -> Vec<String> {
    let line =
        |error: jsonschema::ValidationError<'_>| format!("{}: {error}", error.instance_path());
    validator.iter_errors(tree).map(line).collect()
}

#[test]
fn every_good_policy_is_valid() {
    let validator = validator();
    for (name, text) in policies("good") {
        let tree = tree(&text).expect("a good policy is TOML");
        assert_eq!(complaints(&validator, &tree), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_policy_that_was_written_again_is_valid() {
    let validator = validator();
    for (name, text) in policies("good") {
        let policy: Policy = text.parse().expect("a good policy");
        let tree = serde_json::to_value(&policy).unwrap();
        assert_eq!(complaints(&validator, &tree), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn every_bad_policy_is_refused_unless_it_is_listed() {
    let validator = validator();
    let (mut judged, mut passed) = (0, Vec::new());
    for (name, text) in policies("bad") {
        let Some(tree) = tree(&text) else { continue };
        judged += 1;
        if validator.is_valid(&tree) {
            passed.push(name.split_once('-').expect("NUMBER-NAME").1.to_owned());
        }
    }
    let beyond: Vec<&str> = BEYOND.iter().map(|(name, _)| *name).collect();
    assert_eq!(passed, beyond, "the list names what a schema lets pass, and nothing else");
    assert!(judged >= 100, "only {judged} of the bad policies are TOML");
}

#[test]
fn a_bad_policy_that_is_no_toml_is_refused_before_any_schema() {
    for (name, text) in policies("bad") {
        if tree(&text).is_none() {
            assert!(text.parse::<Policy>().is_err(), "{name}");
        }
    }
}

fn with(field: &str, value: &Value) -> Value {
    serde_json::json!({
        "policy": "schema-1",
        "log": { "access": {
            "purpose": ["security"],
            "legal_basis": "contract",
            "retention": "30d",
            "fields": { field: value },
        }},
    })
}

/// What might stand behind a name: right for some of them, wrong for the others.
fn candidates() -> Vec<Value> {
    let text = r#"[
        "keep", "class", "truncate", "pseudonymize", "origin", "relation", "path", "precision",
        "round", "depth", "allow", "Keep", "", 1, true, [], {}, null,
        {"keep": true}, {"keep": false}, {"keep": "true"}, {"class": true}, {"origin": true},
        {"relation": true}, {"path": true}, {"truncate": true}, {"pseudonymize": true},
        {"keep": true, "class": true}, {"depth": true}, {"precision": true},
        {"accept_risk": "x"}, {"keep": true, "accept_risk": "x"},
        {"keep": true, "accept_risk": " \t"}, {"keep": true, "accept_risk": 1},
        {"path": true, "accept_risk": "x"}, {"origin": true, "accept_risk": "x"},
        {"depth": 1, "accept_risk": "x"}, {"depth": 1, "keep": true, "accept_risk": "x"},
        {"depth": 0}, {"depth": 1}, {"depth": 16}, {"depth": 17}, {"depth": "1"}, {"depth": 1.5},
        {"ipv4": 24}, {"ipv4": 25}, {"ipv4": 0}, {"ipv6": 64}, {"ipv6": 65}, {"ipv6": 1},
        {"ipv4": 25, "accept_risk": "x"}, {"ipv6": 65, "accept_risk": "x"},
        {"ipv4": 24, "ipv6": 64, "accept_risk": "x"}, {"ipv4": 33, "accept_risk": "x"},
        {"truncate": true, "ipv4": 32, "ipv6": 128, "accept_risk": "x"}, {"ipv6": 129},
        {"truncate": true, "accept_risk": "x"}, {"truncate": false, "ipv4": 24},
        {"pseudonymize": true, "ipv6": 56}, {"ipv4": 16, "ipv6": 32},
        {"precision": "1ms"}, {"precision": "1d"}, {"precision": "24h"}, {"precision": "25h"},
        {"precision": "2d"}, {"precision": "1w"}, {"precision": "86400s"}, {"precision": "86401s"},
        {"precision": "86400000ms"}, {"precision": "86400001ms"}, {"precision": "1440m"},
        {"precision": "1441m"}, {"precision": "0s"}, {"precision": "007s"}, {"precision": "1 s"},
        {"precision": "1"}, {"precision": "s"}, {"precision": "59m"}, {"precision": "999999ms"},
        {"round": 1}, {"round": 0}, {"round": 1099511627776}, {"round": 1099511627777},
        {"round": 512, "keep": true},
        {"allow": []}, {"allow": "en"}, {"allow": ["en"]}, {"allow": ["en", "en"]},
        {"allow": ["en", "de"]}, {"allow": ["en-GB"]}, {"allow": ["EN"]}, {"allow": [""]},
        {"allow": [1]}, {"allow": ["example.com"]}, {"allow": ["example.com."]},
        {"allow": ["example.com/x"]}, {"allow": ["[2001:db8::1]"]}, {"allow": ["a b"]},
        {"allow": ["größe"]}, {"allow": ["a\u0000"]}, {"allow": ["a\u0085"]},
        {"allow": ["en"], "keep": true}
    ]"#;
    serde_json::from_str(text).expect("candidates")
}

#[test]
fn the_schema_and_the_reader_agree_on_what_stands_behind_every_name() {
    let validator = validator();
    let (mut taken, mut apart) = (0, Vec::new());
    for name in Field::NAMES {
        for value in candidates() {
            let tree = with(name, &value);
            let read = serde_json::from_value::<Policy>(tree.clone());
            taken += usize::from(read.is_ok());
            if validator.is_valid(&tree) != read.is_ok() {
                apart.push(format!("{name} = {value}: {read:?}"));
            }
        }
    }
    assert_eq!(apart, Vec::<String>::new());
    assert!(taken >= 80, "only {taken} were right");
}

#[test]
fn durations_end_where_the_reader_ends_them() {
    let validator = validator();
    for text in [
        "1ms",
        "30d",
        "36500d",
        "36501d",
        "36499d",
        "5214w",
        "5215w",
        "876000h",
        "876001h",
        "52560000m",
        "52560001m",
        "3153600000s",
        "3153600001s",
        "3153600000000ms",
        "3153600000001ms",
        "99999w",
        "0d",
        "00d",
        "1y",
        "1D",
        "-1d",
        "1.5d",
        "+1d",
        "d",
        "",
    ] {
        let mut tree = with("http.route", &"keep".into());
        tree["log"]["access"]["retention"] = text.into();
        let read = serde_json::from_value::<Policy>(tree.clone());
        assert_eq!(validator.is_valid(&tree), read.is_ok(), "{text:?}: {read:?}");
    }
    for text in ["1s", "1000ms", "1500ms", "999ms", "2000ms", "1d", "36500d", "36501d"] {
        let mut tree = with("http.route", &"keep".into());
        tree["pseudonyms"] = serde_json::json!({ "rotate": text });
        let read = serde_json::from_value::<Policy>(tree.clone());
        assert_eq!(validator.is_valid(&tree), read.is_ok(), "{text:?}: {read:?}");
    }
}

#[test]
fn every_key_has_a_description_for_the_editor() {
    let schema = schema();
    let fields = &schema["properties"]["log"]["additionalProperties"]["properties"]["fields"];
    let fields = fields["properties"].as_object().expect("the catalogue");
    assert!(Field::NAMES.iter().all(|name| fields.contains_key(*name)));
    assert_eq!(fields.len(), Field::NAMES.len());
    for (name, field) in fields {
        let description = field["description"].as_str().expect("a description");
        assert!(description.contains(Field::treatments(name).unwrap()), "{name}: {description}");
    }
    for key in ["policy", "controller", "client", "pseudonyms", "log"] {
        assert!(schema["properties"][key]["description"].is_string(), "{key}");
    }
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(COMMITTED);
    if std::env::var_os("WRITE_SCHEMA").is_some() {
        let text = serde_json::to_string_pretty(&schemars::schema_for!(Policy)).unwrap();
        fs::write(&path, text + "\n").expect("the schema is written");
    }
    let committed = fs::read_to_string(&path).expect("a committed schema");
    let committed: Value = serde_json::from_str(&committed).expect("JSON");
    assert!(committed == schema(), "{COMMITTED} is old: WRITE_SCHEMA=1 cargo test --test schema");
}
