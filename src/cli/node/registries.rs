//! Asks the registries of images on the node, side by side and in bounded time, for `sealgate
//! doctor`. Nothing is pulled.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::config::Settings;
use crate::daemon::CLOCK;
use crate::doctor::{self, AskedRegistry, Check};
use crate::registry::{Access, Registry};

/// How long all registries together get.
const LIMIT: Duration = Duration::from_secs(10);

/// One line for each registry among the names of images.
pub(super) async fn ask(settings: &Settings, names: &[String]) -> Vec<Check> {
    let registry = match Registry::new(settings.registry.clone(), CLOCK) {
        Ok(registry) => Arc::new(registry),
        Err(error) => {
            let mend = "correct [registry] in the configuration";
            return vec![Check::fail("registry", error.to_string(), mend)];
        }
    };
    let (images, left) = doctor::one_of_each(names);
    let until = CLOCK.steady() + LIMIT;
    let asked = join_all(images.iter().map(async |image| {
        let session = registry.session(&Access::default(), until);
        let failure = session.resolve(image).await.err();
        AskedRegistry {
            host: image.runtime_repository().host().to_owned(),
            image: image.to_string(),
            failure: failure.map(|error| (error.class(), error.to_string())),
        }
    }));
    doctor::registries(&asked.await, left)
}
