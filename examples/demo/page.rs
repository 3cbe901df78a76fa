//! The page at `/`: what the visitor sent beside what was logged. No script, no outside asset.

use std::fmt::Write;

use axum::Extension;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFRESH};
use axum::http::{HeaderMap, Uri};
use axum::response::{Html, IntoResponse, Response};

use crate::routes;
use crate::visits::{Visit, Visits, Who};

const SECURITY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'";

const TRY: [(&str, &str); 7] = [
    ("/users/42?token=s3cr3t", "a user's page, with a secret in the query"),
    ("/generate?model=sdxl&user=ada", "a handler that adds fields of its own"),
    ("/stream?chunks=5&ms=200", "a slow, chunked answer"),
    ("/fail", "an error whose text is full of personal data"),
    ("/panic", "a handler that panics (the browser shows a broken connection)"),
    ("/health", "a health check"),
    ("/nowhere/ada@example.com", "a page that does not exist"),
];

pub async fn home(
    Extension(visits): Extension<Visits>,
    Extension(who): Extension<Who>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let visits = visits.of(&who);
    let page = page(&visits, routes::agreed(&headers));
    let head = [(CONTENT_SECURITY_POLICY, SECURITY), (CACHE_CONTROL, "no-store")];
    // The first visit's own record is written after its page: look once more, and only once.
    let again =
        (visits.is_empty() && uri.query().is_none()).then_some([(REFRESH, "1; url=/?again")]);
    (head, again, Html(page)).into_response()
}

fn page(visits: &[Visit], agreed: bool) -> String {
    let mut page = String::from(HEAD);
    for (target, what) in TRY {
        let _ = write!(page, "<li><a href=\"{target}\"><code>{target}</code></a> {what}</li>");
    }
    let (state, button) = if agreed { ("given", "Withdraw it") } else { ("not given", "Give it") };
    let _ = write!(
        page,
        "</ul><form method=post action=/consent><p>Consent to the log <code>usage</code>: <b>{state}</b>. \
         <button>{button}</button></p></form></section>"
    );
    for visit in visits {
        exchange(&mut page, visit);
    }
    if visits.is_empty() {
        page.push_str("<p class=none>Nothing yet: a record is written when the answer has been sent. Load this page again.</p>");
    }
    page.push_str("</main>");
    page
}

fn exchange(page: &mut String, visit: &Visit) {
    page.push_str("<article><section><h2>What you sent</h2>");
    table(page, &visit.sent);
    page.push_str("</section><section class=logged><h2>What was logged</h2>");
    for record in visit.records() {
        table(page, &record);
    }
    page.push_str("</section></article>");
}

fn table(page: &mut String, rows: &[[String; 2]]) {
    page.push_str("<table>");
    for [name, value] in rows {
        let _ = write!(page, "<tr><th>{}<td>{}", Escaped(name), Escaped(value));
    }
    page.push_str("</table>");
}

struct Escaped<'t>(&'t str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

const HEAD: &str = r#"<!doctype html><html lang=en><meta charset=utf-8>
<meta name=viewport content="width=device-width,initial-scale=1">
<meta name=color-scheme content="light dark">
<title>What you sent, what was logged</title>
<style>
:root{--ink:#1c2430;--soft:#5c6878;--page:#f6f7f9;--card:#fff;--line:#dfe3e9;--mark:#0b7a5b;--wash:#eef7f3}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#98a3b3;--page:#12161c;--card:#1a2028;--line:#2b333f;--mark:#4fd1a5;--wash:#14261f}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .5rem;letter-spacing:-.01em}
h2{font-size:.8rem;margin:0 0 .6rem;color:var(--soft);text-transform:uppercase;letter-spacing:.06em}
p{margin:.4rem 0 1rem;max-width:46rem}
.intro{margin-bottom:2rem}
ul{padding:0;list-style:none;margin:1rem 0}
li{margin:.3rem 0;color:var(--soft)}
a{color:var(--mark)}
code,td{font-family:ui-monospace,monospace;font-size:.86em}
button{font:inherit;color:var(--mark);background:none;border:1px solid currentColor;border-radius:.4rem;padding:.1rem .7rem;cursor:pointer}
article{display:grid;grid-template-columns:1fr 1fr;background:var(--card);border:1px solid var(--line);border-radius:.75rem;margin:1rem 0;overflow:hidden}
article>section{padding:1rem 1.25rem;min-width:0}
.logged{background:var(--wash)}
.logged h2{color:var(--mark)}
table{border-collapse:collapse;width:100%;table-layout:fixed;margin-bottom:.8rem}
th,td{text-align:left;vertical-align:top;padding:.2rem 0;border-top:1px solid var(--line);overflow-wrap:anywhere}
th{width:46%;padding-right:1rem;font-weight:500;font-size:.86em;color:var(--soft)}
.none{color:var(--soft)}
@media(max-width:46rem){article{grid-template-columns:1fr}}
</style>
<main><section class=intro><h1>What you sent, what was logged</h1>
<p>This service runs behind <code>tower-privacy-log</code>. On the left is everything that your browser
sent; on the right is every line that was written about it, as the policy declares. Only you see your own requests here.</p>
<ul>"#;
