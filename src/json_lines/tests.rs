//! The sink as a storage engine, judged by its bytes: what arrives, what is in the folder, and what is there after
//! things went wrong. Events come straight from call-sites here; `tests/json_lines.rs` goes through the layer.

mod endings;
mod faults;
mod files;
mod lines;
mod support;
