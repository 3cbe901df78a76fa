//! What the README says of the catalogue is the catalogue: every field in its order, with its
//! treatments and what is written, and no other.

use tower_privacy_log::Field;

const README: &str = include_str!("../README.md");

fn catalogue() -> String {
    let mut table = String::from("| field | treatments | what is written |\n|---|---|---|\n");
    for name in Field::NAMES {
        let treatments = Field::treatments(name).expect("a name has treatments");
        let meaning = Field::meaning(name).expect("a name has a meaning");
        table.push_str(&format!("| `{name}` | `{treatments}` | {meaning} |\n"));
    }
    table
}

#[test]
fn the_field_table_is_the_catalogue() {
    let (_, table) = README.split_once("<!-- fields -->\n").expect("the table begins");
    let (table, _) = table.split_once("<!-- /fields -->").expect("the table ends");
    assert_eq!(table.trim(), catalogue().trim(), "put this between the marks:\n{}", catalogue());
}

#[test]
fn the_catalogue_has_the_fields_of_the_design_and_says_something_of_each() {
    assert_eq!(Field::NAMES.len(), 23);
    for name in Field::NAMES {
        assert_eq!(README.matches(&format!("\n| `{name}` |")).count(), 1, "{name}");
        assert!(!Field::treatments(name).unwrap().contains('|'), "{name} breaks the table");
    }
    assert_eq!(Field::treatments("cookie"), None);
    assert_eq!(Field::meaning("url.full"), None);
}
