//! The checks pass what is right and refuse what is wrong, and say why.

use foregrad::check::{self, Report};
use foregrad::estimate::AnyGuess;
use foregrad::losses::LabelKind;
use outside::guess::{Forgetful, Trend};
use outside::layer::Swish;
use outside::loss::Huber;
use outside::network;

/// The text of a report that is bad news.
fn refused(report: Report) -> String {
    report.into_result().expect_err("a wrong part passed").to_string()
}

#[test]
fn a_layer() {
    let placement = check::placement();
    check::layer(Swish::new(0.7, &placement), [2, 3, 3, 5]).into_result().expect("a right layer");
    let text = refused(check::layer(Swish::wrong(&placement), [2, 3, 3, 5]));
    assert!(text.contains("Swish: adjoint is off by") && text.contains("each other's transposes"), "{text}");
}

#[test]
fn a_head() {
    let placement = check::placement();
    let labels = LabelKind::Values(2);
    check::head(network::readout(&placement), [3, 6, 1, 1], labels).into_result().expect("a right head");
    let text = refused(check::head(network::readout(&placement).wrong(), [3, 6, 1, 1], labels));
    assert!(text.contains("RandomReadout: adjoint is off by"), "{text}");
}

#[test]
fn a_loss() {
    check::loss(Huber::default(), LabelKind::Values(2)).into_result().expect("a right loss");
    let text = refused(check::loss(Huber { is_wrong: true }, LabelKind::Values(2)));
    assert!(text.contains("Huber: difference is off by"), "{text}");
}

#[test]
fn a_network() {
    let placement = check::placement();
    for labels in [LabelKind::Classes(4), LabelKind::Values(1)] {
        let network = network::by_value(labels, 0, &placement).expect("a network");
        check::network(&network, [2, 1, 1], labels).into_result().expect("a right network");
    }
    let wrong = network::wrong(&placement).expect("a network");
    let text = refused(check::network(&wrong, [2, 1, 1], LabelKind::Values(1)));
    assert!(text.contains("network: adjoint is off by"), "{text}");
}

#[test]
fn a_network_in_a_file() {
    let placement = check::placement();
    let network = network::of_file(&network::registry(), 0, &placement).expect("a network");
    assert!(network.parameters().entry("blocks.0.1.slope").is_some());
    check::network(&network, [2, 1, 1], 4).into_result().expect("a right network");
    let unknown = network::of_file(&Default::default(), 0, &placement).expect_err("nobody knows the layer").to_string();
    assert!(unknown.contains("block 0") && unknown.contains("unknown layer `swish`"), "{unknown}");
}

#[test]
fn a_guess() {
    let guess = AnyGuess::of(Trend).expect("a name of its own");
    check::guess(&guess).into_result().expect("a right guess");
    let text = refused(check::guess(&AnyGuess::of(Forgetful::default()).expect("a name of its own")));
    assert!(text.contains("state is off by") && text.contains("a field of its own that changes"), "{text}");
}
