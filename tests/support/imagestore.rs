//! [`Store`]: a stand-in for containerd's image store, as far as a pull needs it: `Images`,
//! `Content/Read` and the CRI's `ImageStatus`, over what a test puts there. It pulls nothing and
//! runs nothing. Wants `mod fixtures` beside it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each binary uses what it needs"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sealgate::proto::containerd::services::content::v1 as content;
use sealgate::proto::containerd::services::content::v1::content_server::{Content, ContentServer};
use sealgate::proto::containerd::services::images::v1 as images;
use sealgate::proto::containerd::services::images::v1::images_server::{Images, ImagesServer};
use sealgate::proto::containerd::types::Descriptor;
use sealgate::proto::cri;
use sealgate::proto::cri::image_service_server::{ImageService, ImageServiceServer};
use tokio::net::UnixListener;
use tonic::codegen::Service as _;
use tonic::{Request, Response, Status};

use crate::fixtures::Repository;

/// A store; it serves for as long as the test's runtime lives.
#[derive(Clone, Default)]
pub(crate) struct Store {
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    /// Digest to bytes.
    content: BTreeMap<String, Vec<u8>>,
    /// Name to target digest.
    names: BTreeMap<String, String>,
}

type Chunks = BoxStream<'static, Result<content::ReadContentResponse, Status>>;

impl Store {
    /// Serves on this socket.
    pub(crate) fn start(socket: &Path) -> Self {
        let store = Self::default();
        let listener = UnixListener::bind(socket).unwrap();
        let serving = store.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let store = serving.clone();
                let service = service_fn(move |request| answer(store.clone(), request));
                let builder = http2::Builder::new(TokioExecutor::new());
                tokio::spawn(builder.serve_connection(TokioIo::new(connection), service));
            }
        });
        store
    }

    /// Holds everything of a repository.
    pub(crate) fn hold(&self, repository: &Repository) {
        let manifests =
            repository.manifests.iter().map(|(digest, (_, bytes))| (digest.clone(), bytes.clone()));
        let blobs = repository.blobs.iter().map(|(digest, bytes)| (digest.clone(), bytes.clone()));
        self.lock().content.extend(manifests.chain(blobs));
    }

    /// Does as a pull of `repository@digest` does; the image's id.
    pub(crate) fn pulled(&self, pinned: &str) -> String {
        let digest = pinned.rsplit_once('@').unwrap().1;
        self.name(pinned, digest);
        self.id_of(digest)
    }

    /// The id of the image whose manifest this is.
    pub(crate) fn id_of(&self, digest: &str) -> String {
        let manifest: serde_json::Value =
            serde_json::from_slice(&self.lock().content[digest]).unwrap();
        manifest["config"]["digest"].as_str().unwrap().to_owned()
    }

    /// Makes a name point at a digest.
    pub(crate) fn name(&self, name: &str, digest: &str) {
        self.lock().names.insert(name.to_owned(), digest.to_owned());
    }

    /// What a name points at.
    pub(crate) fn named(&self, name: &str) -> Option<String> {
        self.lock().names.get(name).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    fn image(&self, name: &str) -> Result<images::Image, Status> {
        let digest = self.named(name).ok_or_else(|| Status::not_found("no such image"))?;
        let size = i64::try_from(self.lock().content[&digest].len()).unwrap();
        let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
        let target = Some(Descriptor { media_type, digest, size, ..Descriptor::default() });
        Ok(images::Image { name: name.to_owned(), target, ..images::Image::default() })
    }

    fn write(&self, image: Option<images::Image>, exists: bool) -> Result<images::Image, Status> {
        let image = image.unwrap();
        if self.named(&image.name).is_some() != exists {
            return Err(if exists {
                Status::not_found("none")
            } else {
                Status::already_exists("one")
            });
        }
        self.name(&image.name, &image.target.as_ref().unwrap().digest);
        Ok(image)
    }
}

async fn answer(
    store: Store,
    request: http::Request<Incoming>,
) -> Result<http::Response<tonic::body::Body>, std::convert::Infallible> {
    let path = request.uri().path().to_owned();
    let request = request.map(tonic::body::Body::new);
    match path.split('/').nth(1) {
        Some("containerd.services.images.v1.Images") => {
            ImagesServer::new(store).call(request).await
        }
        Some("containerd.services.content.v1.Content") => {
            ContentServer::new(store).call(request).await
        }
        _ => ImageServiceServer::new(store).call(request).await,
    }
}

#[tonic::async_trait]
impl Images for Store {
    async fn get(
        &self,
        request: Request<images::GetImageRequest>,
    ) -> Result<Response<images::GetImageResponse>, Status> {
        let image = Some(self.image(&request.get_ref().name)?);
        Ok(Response::new(images::GetImageResponse { image }))
    }

    async fn list(
        &self,
        _: Request<images::ListImagesRequest>,
    ) -> Result<Response<images::ListImagesResponse>, Status> {
        let names: Vec<String> = self.lock().names.keys().cloned().collect();
        let images = names.iter().map(|name| self.image(name)).collect::<Result<_, _>>()?;
        Ok(Response::new(images::ListImagesResponse { images }))
    }

    async fn create(
        &self,
        request: Request<images::CreateImageRequest>,
    ) -> Result<Response<images::CreateImageResponse>, Status> {
        let image = Some(self.write(request.into_inner().image, false)?);
        Ok(Response::new(images::CreateImageResponse { image }))
    }

    async fn update(
        &self,
        request: Request<images::UpdateImageRequest>,
    ) -> Result<Response<images::UpdateImageResponse>, Status> {
        let image = Some(self.write(request.into_inner().image, true)?);
        Ok(Response::new(images::UpdateImageResponse { image }))
    }

    async fn delete(
        &self,
        request: Request<images::DeleteImageRequest>,
    ) -> Result<Response<()>, Status> {
        let removed = self.lock().names.remove(&request.get_ref().name);
        removed.map(|_| Response::new(())).ok_or_else(|| Status::not_found("no such image"))
    }
}

#[tonic::async_trait]
impl Content for Store {
    type ReadStream = Chunks;

    async fn info(
        &self,
        _: Request<content::InfoRequest>,
    ) -> Result<Response<content::InfoResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn read(
        &self,
        request: Request<content::ReadContentRequest>,
    ) -> Result<Response<Chunks>, Status> {
        let bytes = self.lock().content.get(&request.get_ref().digest).cloned();
        let data = bytes.ok_or_else(|| Status::not_found("no such content"))?;
        let chunk = content::ReadContentResponse { offset: 0, data: data.into() };
        Ok(Response::new(stream::iter([Ok(chunk)]).boxed()))
    }
}

#[tonic::async_trait]
impl ImageService for Store {
    async fn list_images(
        &self,
        _: Request<cri::ListImagesRequest>,
    ) -> Result<Response<cri::ListImagesResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn image_status(
        &self,
        request: Request<cri::ImageStatusRequest>,
    ) -> Result<Response<cri::ImageStatusResponse>, Status> {
        let name = request.into_inner().image.unwrap().image;
        let is_meant =
            |(other, digest): &(String, String)| *other == name || self.id_of(digest) == name;
        let names: Vec<(String, String)> = self.lock().names.clone().into_iter().collect();
        let image = names.iter().find(|known| is_meant(known)).map(|(_, digest)| {
            let id = self.id_of(digest);
            let of_it = names.iter().filter(|(_, other)| self.id_of(other) == id);
            let (repo_digests, repo_tags) =
                of_it.map(|(name, _)| name.clone()).partition(|name| name.contains('@'));
            cri::Image { id, repo_tags, repo_digests, ..cri::Image::default() }
        });
        Ok(Response::new(cri::ImageStatusResponse { image, ..cri::ImageStatusResponse::default() }))
    }

    async fn pull_image(
        &self,
        _: Request<cri::PullImageRequest>,
    ) -> Result<Response<cri::PullImageResponse>, Status> {
        Err(Status::unimplemented("the proxy pulls"))
    }

    async fn remove_image(
        &self,
        _: Request<cri::RemoveImageRequest>,
    ) -> Result<Response<cri::RemoveImageResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn image_fs_info(
        &self,
        _: Request<cri::ImageFsInfoRequest>,
    ) -> Result<Response<cri::ImageFsInfoResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }
}
