//! The layer around any tower service, without a server: one call, one record.
//!
//! `cargo run --example tower`

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_privacy_log::{Field, JsonLines, LegalBasis, Log, Options, Policy, PrivacyLogLayer};
use tower_privacy_log::{Purpose, Route, Status};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (lines, _flush) = JsonLines::to_writer(std::io::stdout(), Options::default())?;
    tracing_subscriber::registry().with(lines).init();

    let service =
        ServiceBuilder::new().layer(PrivacyLogLayer::new(&policy()?)?).service(service_fn(hello));
    let request = Request::get("/hello/ada?token=s3cr3t").extension(Route::new("/hello/{name}"));
    let response = service.oneshot(request.body(())?).await?;
    let status = response.status();
    // The record is written when the body has ended.
    response.into_body().collect().await?;
    eprintln!("the service said: {status}");
    Ok(())
}

/// The same as TOML says, in Rust.
fn policy() -> Result<Policy, tower_privacy_log::Error> {
    let access = Log::new("access")
        .purpose(Purpose::ServiceMonitoring)
        .legal_basis(LegalBasis::Contract)
        .retention(std::time::Duration::from_secs(7 * 86_400))
        .field(Field::RequestMethod)
        .field(Field::Route)
        .field(Field::StatusCode(Status::Keep))
        .field(Field::ErrorType);
    Policy::builder().id("tower-example").log(access).build()
}

async fn hello(_: Request<()>) -> Result<Response<String>, Infallible> {
    Ok(Response::new("hello\n".to_owned()))
}
