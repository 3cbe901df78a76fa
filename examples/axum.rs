//! The demo service: what a visitor sends beside what is logged of it.
//!
//! `cargo run --example axum -- [--policy FILE] [--listen 127.0.0.1:3000] [--log-dir DIR]`
//!
//! Without `--log-dir` the records go to stdout as JSON lines, and nothing else does.

#[path = "demo/args.rs"]
mod args;
#[path = "demo/page.rs"]
mod page;
#[path = "demo/routes.rs"]
mod routes;
#[path = "demo/stderr.rs"]
mod stderr;
#[path = "demo/visits.rs"]
mod visits;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use args::Args;
use axum::Router;
use axum::extract::Extension;
use axum::http::uri::Scheme;
use stderr::{Stderr, say};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch::{self, Receiver};
use tower_privacy_log::{CountBodyLayer, Flush, JsonLines, Options, Policy, PrivacyLogLayer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use visits::Visits;

type Failure = Box<dyn std::error::Error>;

/// How long open responses may go on after Ctrl-C.
const GRACE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    quiet_panics();
    let result = args::parse(std::env::args().skip(1)).and_then(run);
    if let Err(failure) = result {
        say(&failure.to_string());
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

/// A panic's text can hold anything a request held: print where it was, not what it said.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
        say(&format!("panicked{place}"));
    }));
}

fn run(args: Args) -> Result<(), Failure> {
    let policy = Policy::read(&args.policy)?;
    let layer = PrivacyLogLayer::new(&policy)?;
    let (visits, stderr) = (Visits::default(), Stderr::new());
    let flush = subscribe(args.log_dir.as_deref(), &policy, &visits, &stderr)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let warnings = policy.warnings();
    let result = runtime.block_on(serve(&args, app(layer, visits), &stderr, &warnings));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result.and(finish(flush))
}

/// Writes what is left, and says so if that could not be done.
fn finish(flush: Flush) -> Result<(), Failure> {
    let stats = flush.finish();
    match stats.dropped + stats.queued {
        0 => Ok(()),
        missing => Err(format!("{missing} records could not be written").into()),
    }
}

/// The subscriber of the application: our records to a sink and to the page, what is wrong with them to stderr.
fn subscribe(
    folder: Option<&Path>,
    policy: &Policy,
    visits: &Visits,
    stderr: &Stderr,
) -> Result<Flush, Failure> {
    let options = Options::default();
    let (lines, flush) = match folder {
        Some(folder) => JsonLines::to_folder(folder, policy, options)?,
        None => JsonLines::to_writer(std::io::stdout(), options)?,
    };
    let all = tracing_subscriber::registry().with(lines).with(visits.shown());
    all.with(stderr.reports()).init();
    Ok(flush)
}

async fn serve(
    args: &Args,
    app: Router,
    stderr: &Stderr,
    warnings: &[String],
) -> Result<(), Failure> {
    let stop = signals()?;
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    stderr.open(&format!("listening on http://{}", listener.local_addr()?));
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app).with_graceful_shutdown(stopped(stop.clone()));
    tokio::select! {
        result = server => Ok(result?),
        () = async { stopped(stop).await; tokio::time::sleep(GRACE).await } => Ok(()),
    }
}

fn app(layer: PrivacyLogLayer, visits: Visits) -> Router {
    routes::router()
        .layer(CountBodyLayer)
        .layer(layer)
        .layer(axum::middleware::from_fn(routes::consent))
        .layer(Extension(Scheme::HTTP))
        .layer(visits.watch())
        .layer(Extension(visits))
}

/// Turns true at Ctrl-C or at the signal by which containers stop, neither of which ends the process from now on.
fn signals() -> Result<Receiver<bool>, Failure> {
    let (stop, stopped) = watch::channel(false);
    let mut ctrl_c = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! { _ = ctrl_c.recv() => (), _ = terminated.recv() => () }
        let _ = stop.send(true);
    });
    Ok(stopped)
}

async fn stopped(mut stop: Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
