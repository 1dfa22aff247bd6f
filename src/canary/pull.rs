//! [`pull`]: one PullImage through the socket at a path, as the kubelet makes it, over a connection
//! of its own: whatever is at the path now is what answers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::rand;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::Endpoint;

use crate::image::Digest;
use crate::proto::cri::image_service_client::ImageServiceClient;
use crate::proto::cri::{ImageSpec, PullImageRequest};

/// Random bytes behind a digest: nobody guesses them, so nobody has content of that digest.
const RANDOM_BYTES: usize = 32;

/// What became of the pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    /// It was answered with an image id.
    Made(String),
    /// It was answered with an error, and these words.
    Failed(String),
    /// Nothing answered in time, or nothing listens.
    Unanswered(String),
}

/// A digest that no content has: no pull of it can succeed anywhere, whatever answers.
///
/// # Errors
/// When there is no randomness.
pub fn fresh_digest() -> Result<Digest, String> {
    let mut bytes = [0; RANDOM_BYTES];
    rand::fill(&mut bytes).map_err(|_| "no random numbers".to_owned())?;
    Ok(Digest::of(&bytes))
}

/// Pulls `image` through the socket at `socket`, waiting no longer than `limit`.
pub async fn pull(socket: &Path, image: &str, limit: Duration) -> Pulled {
    let path = socket.to_owned();
    let connect = tower::service_fn(move |_| {
        let path: PathBuf = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let talk = async {
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = match endpoint.connect_with_connector(connect).await {
            Ok(channel) => channel,
            Err(error) => return Pulled::Unanswered(innermost(&error)),
        };
        let image = ImageSpec { image: image.to_owned(), ..ImageSpec::default() };
        let request = PullImageRequest { image: Some(image), ..PullImageRequest::default() };
        match ImageServiceClient::new(channel).pull_image(request).await {
            Ok(answer) => Pulled::Made(answer.into_inner().image_ref),
            Err(status) => Pulled::Failed(status.message().to_owned()),
        }
    };
    tokio::time::timeout(limit, talk).await.unwrap_or_else(|_| {
        Pulled::Unanswered(format!("no answer within {} ms", limit.as_millis()))
    })
}

/// What is at the bottom of an error: the system's own words.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
