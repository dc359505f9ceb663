"""Options of access rules: the policy file, and which custom properties are protected."""

from __future__ import annotations

from oslo_config import cfg, types

OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.StrOpt(
            "property_protection_file",
            help="File that says which custom properties of images who may create, read, update "
            "and delete, looked for beside the configuration files. Unset: no property is "
            "protected.",
        ),
        cfg.StrOpt(
            "property_protection_rule_format",
            default="roles",
            choices=["roles", "policies"],
            help="Whether property_protection_file names roles or policy rules.",
        ),
        cfg.FloatOpt(
            "policy_reload_interval",
            default=5,
            min=0,
            help="Seconds between looks at the policy files. Changed rules are put in force when "
            "two looks have found the same; 0 reads the files at start only.",
        ),
        cfg.StrOpt(
            "admin_role",
            deprecated_for_removal=True,
            deprecated_reason="The policy rule context_is_admin says who is an administrator.",
            help="A role that makes administrators whatever the policy rule context_is_admin "
            "says. For old files only; that rule is the place to say it.",
        ),
    ],
    "oslo_policy": [
        cfg.StrOpt(
            "policy_file",
            default="policy.yaml",
            help="File with policy rules, in YAML or JSON, that replace the defaults of the same "
            "names; looked for beside the configuration files and in the usual places. One that "
            "is named here has to be there. Where there is no policy.yaml and nothing is named, "
            "policy.json is read, the default name of old. In a JSON file, or with "
            "enforce_new_defaults off, changing an image also takes being of its owner's project "
            "or an administrator, as rules of that time expect.",
        ),
        cfg.StrOpt(
            "policy_default_rule",
            default="default",
            help="The rule that counts where another one refers to a rule that is not defined. "
            "Such references are refused unless a policy file defines this rule.",
        ),
        cfg.MultiOpt(
            "policy_dirs",
            item_type=types.String(),
            default=["policy.d"],
            help="Directories whose files are read as well, in the order of their names, after "
            "policy_file; looked for in the same places. Those that are missing are passed over.",
        ),
        cfg.BoolOpt(
            "enforce_new_defaults",
            default=True,
            help="Let the present defaults alone count. When this is off, those whom a former "
            "default let may as well, where no policy file has the rule.",
        ),
        cfg.BoolOpt(
            "enforce_scope",
            default=True,
            deprecated_for_removal=True,
            deprecated_reason="Scopes are always enforced.",
            help="Accepted so that old files load. Tokens of a system or a domain are always "
            "refused where a rule is about projects.",
        ),
    ],
}
