//! The defaults of `train`'s flags in its help, read from the settings themselves so that they cannot go stale.

use clap::Command;
use foregrad_lab::train::RunConfig;

/// Flags by clap's name, and where their values stand in a run's settings.
const FLAGS: &[(&str, &str)] = &[
    ("dataset", "/data/dataset"),
    ("validation", "/data/validation"),
    ("model", "/model/name"),
    ("norm", "/model/norm"),
    ("blocks_per_stage", "/model/blocks-per-stage"),
    ("aux", "/model/aux"),
    ("head_norm", "/model/head-norm"),
    ("label_smoothing", "/model/label-smoothing"),
    ("target", "/estimator/target"),
    ("guess", "/estimator/guess"),
    ("space", "/estimator/space"),
    ("guess_horizon", "/estimator/guess-horizon"),
    ("directions", "/estimator/directions"),
    ("combination", "/estimator/combination"),
    ("mode", "/estimator/mode"),
    ("tangents_at_once", "/estimator/tangents-at-once"),
    ("memory", "/estimator/memory"),
    ("train_heads", "/estimator/train-heads"),
    ("last_block", "/estimator/last-block"),
    ("batch_norm_tangent", "/estimator/batch-norm-tangent"),
    ("epochs", "/epochs"),
    ("batch", "/batch"),
    ("optimizer", "/optimizer/kind"),
    ("lr", "/optimizer/rate"),
    ("momentum", "/optimizer/momentum"),
    ("weight_decay", "/optimizer/weight-decay"),
    ("clip", "/optimizer/clip"),
    ("schedule", "/schedule/kind"),
    ("schedule_every", "/schedule/every"),
    ("gamma", "/schedule/gamma"),
    ("patience", "/schedule/patience"),
    ("warm_up", "/schedule/warm-up"),
    ("probe_every", "/probe-every"),
    ("checkpoint_every", "/checkpoint-every"),
    ("checkpoint_steps", "/checkpoint-steps"),
    ("checkpoint_minutes", "/checkpoint-minutes"),
    ("keep_checkpoints", "/keep-checkpoints"),
    ("seed", "/seed"),
    ("threads", "/threads"),
    ("device", "/device"),
];

/// The flag of a setting, named by its place in a file of settings (`optimizer.rate` is `--lr`); the place itself if it has
/// none of its own.
pub fn flag_of(setting: &str) -> String {
    let pointer = format!("/{}", setting.replace('.', "/"));
    let flag = FLAGS.iter().find(|(_, place)| *place == pointer).map(|(flag, _)| flag.replace('_', "-"));
    flag.map_or_else(|| setting.to_string(), |flag| format!("--{flag}"))
}

/// `train` with each flag's default at the end of its help.
pub fn shown(train: Command) -> Command {
    let settings = serde_json::to_value(RunConfig::default()).expect("settings are plain values");
    FLAGS.iter().fold(train, |train, (flag, pointer)| {
        let value = settings.pointer(pointer).unwrap_or_else(|| panic!("settings have no {pointer}"));
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        train.mut_arg(flag, |argument| {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            // A listing has a line for every choice, and the default on one of its own.
            let space = if help.contains('\n') { "\n" } else { " " };
            argument.help(format!("{help}{space}[default: {value}]"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_named_by_their_flags() {
        assert_eq!(["optimizer.rate", "epochs", "model.width"].map(flag_of), ["--lr", "--epochs", "model.width"]);
    }

    #[test]
    fn every_flag_that_is_listed_is_there_and_shows_its_default() {
        let mut command = crate::command();
        let help = command.find_subcommand_mut("train").expect("train").render_help().to_string();
        let listed = help.matches("[default: ").count();
        assert!(listed > FLAGS.len(), "{listed} defaults in:\n{help}");
        assert!(help.contains("[default: small-net]") && help.contains("[default: 0.05]"), "{help}");
    }
}
