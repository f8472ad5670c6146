//! Pages that are not fetched: a part of this process writes them, such as a watch on the objects of a cluster (S2b).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use stillwell_engine::NotKnown;

/// A page in the text format.
#[derive(Debug)]
pub struct WrittenPage {
    /// Its text.
    pub body: Vec<u8>,
    /// What its writer knows not to be known.
    pub not_known: NotKnown,
}

/// Writes pages.
pub trait WritesPages: Send + Sync + fmt::Debug {
    /// The page as of now. Error: why there is none, which fails the scrape.
    fn page(&self) -> Pin<Box<dyn Future<Output = Result<WrittenPage, String>> + Send + '_>>;

    /// Ends when there is something new, where that is known: the page is then taken before it is due. Being dropped before
    /// it ends may lose one such moment.
    fn news(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    /// Told after each page of which the samples are in the store.
    fn stored(&self) {}
}

/// Where the pages of a target come from that is not fetched. Two are equal where they are the same.
#[derive(Clone, Debug)]
pub struct PageSource(Arc<dyn WritesPages>);

impl PageSource {
    /// From whoever writes them.
    pub fn new(writer: Arc<dyn WritesPages>) -> PageSource {
        PageSource(writer)
    }

    /// The page as of now.
    pub async fn page(&self) -> Result<WrittenPage, String> {
        self.0.page().await
    }

    /// The samples of its last page are in the store.
    pub fn stored(&self) {
        self.0.stored();
    }

    /// Ends when there is something new.
    pub async fn news(&self) {
        self.0.news().await;
    }
}

impl PartialEq for PageSource {
    fn eq(&self, other: &PageSource) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
