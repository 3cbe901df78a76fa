//! The server under load: one route and a small body, with one way of logging or none.
//!
//! `server none|peer|layer|privacy-log|info|trace-layer FOLDER`
//!
//! Prints its address on the first line of stdout. After SIGTERM it writes what is left and prints how many
//! requests it answered, and how many lines its logger says to have dropped.

mod info;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract;
use axum::middleware::from_fn;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tower_layer::layer_fn;
use tower_privacy_log::{Flush, JsonLines, Options, Policy, PrivacyLogLayer};
use tracing::Level;
use tracing_appender::non_blocking::{ErrorCounter, WorkerGuard};
use tracing_subscriber::prelude::*;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

static ANSWERED: AtomicU64 = AtomicU64::new(0);

/// What has to live until the last line is written.
enum Log {
    Nothing,
    Lines(Flush),
    Appender(WorkerGuard, ErrorCounter),
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, way, folder] = args.as_slice() else {
        return Err("usage: server none|peer|layer|privacy-log|info|trace-layer FOLDER".into());
    };
    let (app, log) = logged(way, folder.as_ref())?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(serve(app, way != "none" && way != "trace-layer"))?;
    // Ends the exchanges that are still open.
    drop(runtime);
    let dropped = finish(log)?;
    println!("{} {dropped}", ANSWERED.load(Ordering::Relaxed));
    Ok(())
}

async fn user(extract::Path(_): extract::Path<String>) -> &'static str {
    ANSWERED.fetch_add(1, Ordering::Relaxed);
    "hello, world\n"
}

fn logged(way: &str, folder: &Path) -> Result<(Router, Log)> {
    let app = Router::new().route("/users/{id}", get(user));
    Ok(match way {
        "none" | "peer" => (app, Log::Nothing),
        "layer" => (app.layer(layer_fn(|inner| inner)), Log::Nothing),
        "privacy-log" => {
            let policy: Policy = include_str!("../policy.toml").parse()?;
            let (lines, flush) = JsonLines::to_folder(folder, &policy, Options::default())?;
            tracing_subscriber::registry().with(lines).init();
            (app.layer(PrivacyLogLayer::new(&policy)?), Log::Lines(flush))
        }
        "info" => (app.layer(from_fn(info::log)), appender(folder)),
        "trace-layer" => {
            let layer = TraceLayer::new_for_http()
                .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
                .on_response(DefaultOnResponse::new().level(Level::INFO));
            (app.layer(layer), appender(folder))
        }
        other => return Err(format!("no way of logging is called {other}").into()),
    })
}

/// `fmt().json()` to a file as tracing-appender's front page does it: lossy when its buffer is full.
fn appender(folder: &Path) -> Log {
    let file = tracing_appender::rolling::daily(folder, "log");
    let (writer, guard) = tracing_appender::non_blocking(file);
    let counter = writer.error_counter();
    tracing_subscriber::fmt().json().with_writer(writer).init();
    Log::Appender(guard, counter)
}

async fn serve(app: Router, peer: bool) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let mut stop = signal(SignalKind::terminate())?;
    let server = async {
        if peer {
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, app).await
        } else {
            axum::serve(listener, app).await
        }
    };
    tokio::select! {
        result = server => Ok(result?),
        _ = stop.recv() => Ok(()),
    }
}

fn finish(log: Log) -> Result<u64> {
    Ok(match log {
        Log::Nothing => 0,
        Log::Lines(flush) => {
            flush.flush()?;
            flush.stats().dropped
        }
        Log::Appender(guard, counter) => {
            drop(guard);
            counter.dropped_lines() as u64
        }
    })
}
