//! What the editor knows of each class of node: the program's own, with the names their lists offer now.

use ahash::HashMap;
use graph::{Contract, Host, NodeType};
use std::{cell::RefCell, sync::Arc};

/// The folder of pictures to begin with.
pub const PICTURES: &str = "input";

/// Everything that can be put into a graph.
pub struct Catalog {
    pub types: &'static [NodeType],
    /// Widgets of all known classes, also of those that this program does not run.
    pub contract: Contract,
    host: Arc<dyn Host>,
    by_name: HashMap<&'static str, &'static NodeType>,
    /// Lists that name files, by folder, as they were when last looked at.
    files: HashMap<&'static str, Vec<String>>,
    /// What prompts can name as `embedding:NAME`.
    pub embeddings: Vec<String>,
    /// Names that the lists lack and that were looked for nevertheless: whether they are there.
    unlisted: RefCell<HashMap<(&'static str, String), bool>>,
}

impl Catalog {
    pub fn new(types: &'static [NodeType], host: Arc<dyn Host>) -> Self {
        let mut catalog = Self {
            types,
            contract: Contract::from_types(types),
            host,
            by_name: types.iter().map(|ty| (ty.name, ty)).collect(),
            files: HashMap::default(),
            embeddings: Vec::new(),
            unlisted: RefCell::default(),
        };
        catalog.refresh();
        catalog
    }

    /// The class, if this program runs it.
    pub fn get(&self, class: &str) -> Option<&'static NodeType> {
        self.by_name.get(class).copied()
    }

    /// Looks at the folders again.
    pub fn refresh(&mut self) {
        let inputs = self.types.iter().flat_map(|ty| &ty.inputs);
        let folders = inputs.filter_map(graph::Input::folder);
        self.files = folders.map(|folder| (folder, self.host.list(folder))).collect();
        let bare =
            |name: String| name.strip_suffix(".safetensors").map_or(name.clone(), Into::into);
        self.embeddings = self.host.list("embeddings").into_iter().map(bare).collect();
        self.unlisted.borrow_mut().clear();
    }

    /// The folder whose files an input names, if it does.
    pub fn folder(&self, class: &str, input: &str) -> Option<&'static str> {
        self.get(class)?.input(input)?.folder()
    }

    /// The input of a class that names a picture, if it has one.
    pub fn picture_input(&self, class: &str) -> Option<&'static str> {
        let inputs = &self.get(class)?.inputs;
        inputs.iter().find(|input| input.folder() == Some(PICTURES)).map(|input| input.name)
    }

    /// Whether a folder has a file that its list does not show, as those in folders below `input`.
    pub fn has_unlisted(&self, folder: &'static str, name: &str) -> bool {
        let look = || self.host.find(folder, name).is_ok();
        let mut unlisted = self.unlisted.borrow_mut();
        *unlisted.entry((folder, name.to_owned())).or_insert_with(look)
    }

    /// What an input's drop-down list offers; `None` if it is no list.
    pub fn choices(&self, class: &str, input: &str) -> Option<Vec<String>> {
        use graph::widget::Choices;
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        Some(match self.get(class)?.input(input)?.choices.as_ref()? {
            Choices::Names(all) => names(all),
            Choices::Files { folder, extra } => {
                [self.files.get(folder).cloned().unwrap_or_default(), names(extra)].concat()
            }
        })
    }
}
