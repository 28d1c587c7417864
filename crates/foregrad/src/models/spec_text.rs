//! A network as the text of a file: a layer a line.

use super::spec::{BlockSpec, HeadSpec, NetSpec, NetworkSpec};
use crate::layers::LayerSpec;

impl NetworkSpec {
    /// The text of its file.
    pub fn to_toml(&self) -> String {
        let mut text = format!("name = {}\n", quoted(&self.name));
        if self.head_width != 1.0 {
            text += &format!("head-width = {:?}\n", self.head_width);
        }
        text += &format!("classifier = {}\n", list(&self.classifier, ""));
        self.blocks.iter().fold(text, |text, block| text + &of_block(block))
    }
}

fn of_block(block: &BlockSpec) -> String {
    let mut text = "\n[[blocks]]\n".to_string();
    if let Some(path) = &block.path {
        text += &format!("path = {}\n", quoted(path));
    }
    match &block.head {
        None => {}
        Some(HeadSpec::Named(name)) => text += &format!("head = {}\n", quoted(name)),
        Some(HeadSpec::Layers(layers)) => text += &format!("head = {}\n", list(layers, "")),
        Some(HeadSpec::Net(NetSpec { layers, loss })) => {
            text += &format!("head = {{ loss = {}, layers = {} }}\n", quoted(loss), list(layers, ""));
        }
    }
    text + &format!("layers = {}\n", list(&block.layers, ""))
}

/// Layers, one a line, in a list that begins at an indent.
fn list(layers: &[LayerSpec], indent: &str) -> String {
    let inner = format!("{indent}    ");
    let lines: String = layers.iter().map(|layer| format!("{inner}{},\n", of_layer(layer, &inner))).collect();
    format!("[\n{lines}{indent}]")
}

fn of_layer(layer: &LayerSpec, indent: &str) -> String {
    let texts = [("name", &layer.name), ("stream", &layer.stream)];
    let texts = texts.into_iter().filter_map(|(key, text)| Some(format!("{key} = {}", quoted(text.as_ref()?))));
    let settings = layer.settings.iter().map(|(key, value)| format!("{} = {}", key_text(key), value_text(value)));
    let chains = layer.chains.iter().map(|(key, layers)| format!("{} = {}", key_text(key), list(layers, indent)));
    let entries: Vec<String> = texts.chain(settings).chain(chains).collect();
    if entries.is_empty() {
        return quoted(&layer.kind);
    }
    format!("{{ layer = {}, {} }}", quoted(&layer.kind), entries.join(", "))
}

/// A text in quotation marks.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A key, in quotation marks where it has to be.
fn key_text(key: &str) -> String {
    let is_bare = !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter));
    if is_bare { key.to_string() } else { quoted(key) }
}

/// A setting's value: TOML writes numbers and truth values as JSON does.
fn value_text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), quoted)
}
