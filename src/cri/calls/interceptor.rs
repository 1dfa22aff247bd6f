//! The seam with the proxy: each intercepted method goes to the file of its name. Every path
//! through it ends in a record on disk before the answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{Calls, create_container, pull_image, run_pod_sandbox, start_container};
use crate::cri::record::answer::RecordedAnswer;
use crate::proxy::{Answer, Call, CheckedCall, Interceptor, OwnedMethod, RejectedUnread};

impl Interceptor for Arc<Calls> {
    fn unread(&self, unread: RejectedUnread) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let calls = Self::clone(self);
        Box::pin(async move { calls.record_unread(unread).await })
    }

    fn check(&self, call: CheckedCall) -> Pin<Box<dyn Future<Output = Option<Answer>> + Send>> {
        let calls = Self::clone(self);
        Box::pin(async move {
            let refused = Calls::check(&calls, &call).await.err()?;
            Some(RecordedAnswer::from(refused).into_answer())
        })
    }

    fn passed_unknown(&self, path: &str) {
        self.note_unknown(path);
    }

    fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let calls = Self::clone(self);
        Box::pin(async move {
            // Each in a box of its own: together they are as large as the largest, several times.
            let answer = match call.method {
                OwnedMethod::PullImage => Box::pin(pull_image::answer(calls, call)).await,
                OwnedMethod::RunPodSandbox => Box::pin(run_pod_sandbox::answer(calls, call)).await,
                OwnedMethod::CreateContainer => {
                    Box::pin(create_container::answer(calls, call)).await
                }
                OwnedMethod::StartContainer => Box::pin(start_container::answer(calls, call)).await,
            };
            answer.into_answer()
        })
    }
}
