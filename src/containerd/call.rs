//! One call to containerd: its namespace, and one time limit.

use std::future::Future;

use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::{Runtime, RuntimeError};

/// The namespace in which containerd's CRI keeps everything.
pub const NAMESPACE: &str = "k8s.io";
/// The request header that says so (containerd, `pkg/namespaces`).
const NAMESPACE_HEADER: &str = "containerd-namespace";

impl Runtime {
    /// A request to one of the CRI's services.
    pub(super) fn plain<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.options.call_timeout());
        request
    }

    /// A request to one of containerd's own services.
    pub(super) fn native<T>(&self, message: T) -> Request<T> {
        let mut request = self.plain(message);
        request.metadata_mut().insert(NAMESPACE_HEADER, MetadataValue::from_static(NAMESPACE));
        request
    }

    /// A request to one of containerd's own services, in another namespace; one that no header can
    /// hold is none of containerd's.
    pub(super) fn native_in<T>(&self, namespace: &str, message: T) -> Request<T> {
        let mut request = self.plain(message);
        if let Ok(namespace) = MetadataValue::try_from(namespace) {
            request.metadata_mut().insert(NAMESPACE_HEADER, namespace);
        }
        request
    }

    /// Waits for one answer, no longer than the time limit of a call.
    pub(super) async fn call<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, RuntimeError> {
        self.limited(call, async {
            answer.await.map(Response::into_inner).map_err(|status| (call, status).into())
        })
        .await
    }

    /// Waits for something that takes several messages, no longer than the time limit of a call.
    pub(super) async fn limited<T>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, RuntimeError>>,
    ) -> Result<T, RuntimeError> {
        let limited = tokio::time::timeout(self.options.call_timeout(), work).await;
        limited.unwrap_or(Err(RuntimeError::TimedOut { call }))
    }
}
