"""Variables whose names carry code, or change what is checked out, loaded or run: data, and the look-up. Pure.

A reviewed script runs something else when one of these is set beside it. They stand in named sets, so that an operator
can write `variables: {deny: [code]}`, or some of the sets, in a rule (docs/reference/variables.md). Patterns as in a
shell: `*`, `?`, `[…]`; upper and lower case differ, as they do in an environment.
"""

from __future__ import annotations

import re
from fnmatch import translate
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ALL = "code"
# No name that a shell has for a variable. The runner's script says `export NAME=VALUE`, so that with one such as
# `PATH+` or `BASH_ENV=x` bash sets another variable than it is called (seen with 17.9.3), and with most others the job
# fails.
ODD = "*[!A-Za-z0-9_]*"
# set -> (what its variables do, where that is documented, patterns)
SETS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "shell": (
        "change what the shell itself runs",
        "bash(1): Shell Variables, Functions, INVOCATION; sh(1)",
        (
            ODD, "BASHOPTS", "BASH_COMPAT", "BASH_ENV", "BASH_FUNC_*", "BASH_LOADABLES_PATH", "BASH_XTRACEFD", "CDPATH",
            "ENV", "EXECIGNORE", "FIGNORE", "FPATH", "GLOBIGNORE", "GLOBSORT", "IFS", "INPUTRC", "PATH",
            "POSIXLY_CORRECT", "PROMPT_COMMAND", "PS0", "PS4", "SHELL", "SHELLOPTS", "ZDOTDIR",
        ),
    ),
    "loader": (
        "change what programs load",
        "ld.so(8): ENVIRONMENT, and what it takes from set-user-ID programs",
        (
            "GCONV_PATH", "GETCONF_DIR", "GLIBC_TUNABLES", "HOSTALIASES", "LD_*", "LOCALDOMAIN", "LOCPATH", "MALLOC_*",
            "NIS_PATH", "NLSPATH", "RESOLV_*", "RES_OPTIONS", "TZDIR",
        ),
    ),
    "git": (
        "change what Git runs, or where it reads from",
        "git(1): ENVIRONMENT VARIABLES; git-config(1): ENVIRONMENT",
        (
            "GIT_ALLOW_PROTOCOL", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_ASKPASS", "GIT_ATTR_*",
            "GIT_CEILING_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_*", "GIT_DIR",
            "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EDITOR", "GIT_EXEC_PATH", "GIT_EXTERNAL_DIFF", "GIT_HTTP_PROXY*",
            "GIT_INDEX_FILE", "GIT_NAMESPACE", "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PAGER",
            "GIT_PROTOCOL_FROM_USER", "GIT_PROXY_*", "GIT_REPLACE_REF_BASE", "GIT_SEQUENCE_EDITOR", "GIT_SHALLOW_FILE",
            "GIT_SSH", "GIT_SSH_*", "GIT_SSL_*", "GIT_TEMPLATE_DIR", "GIT_TRACE*", "GIT_WORK_TREE",
        ),
    ),
    "checkout": (
        "change what the runner checks out, and where",
        "GitLab: doc/ci/runners/configure_runners.md",
        (
            "CACHE_FALLBACK_KEY", "GIT_CHECKOUT", "GIT_CLEAN_FLAGS", "GIT_CLONE_EXTRA_FLAGS", "GIT_CLONE_PATH",
            "GIT_FETCH_EXTRA_FLAGS", "GIT_LFS_*", "GIT_STRATEGY", "GIT_SUBMODULE_*",
        ),
    ),
    "interpreters": (
        "have an interpreter or a build tool run other code",
        "python(1), node(1), perlrun(1), ruby(1), java(1), php(1), lua(1), make(1), go(1), Cargo's book",
        (
            "BUNDLE_GEMFILE", "BUNDLE_PATH", "CARGO_HOME", "CLASSPATH", "GEM_HOME", "GEM_PATH", "GOENV", "GOFLAGS",
            "GOROOT", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "LUA_CPATH*", "LUA_INIT*", "LUA_PATH*", "MAKEFILES",
            "MAKEFLAGS", "NODE_EXTRA_CA_CERTS", "NODE_OPTIONS", "NODE_PATH", "PERL5DB", "PERL5LIB", "PERL5OPT",
            "PERLLIB", "PHPRC", "PHP_INI_SCAN_DIR", "PYTHONBREAKPOINT", "PYTHONEXECUTABLE", "PYTHONHOME",
            "PYTHONINSPECT", "PYTHONPATH", "PYTHONPLATLIBDIR", "PYTHONPYCACHEPREFIX", "PYTHONSTARTUP", "PYTHONUSERBASE",
            "PYTHONWARNINGS", "RUBYLIB", "RUBYOPT", "RUSTC", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "TCLLIBPATH",
            "_JAVA_OPTIONS",
        ),
    ),
    "programs": (
        "change which program or which settings other programs use",
        "environ(7), xdg-basedir, curl(1), wget(1), less(1), man(1), sudo(8), gpg(1), ssh(1)",
        (
            "BROWSER", "CURL_HOME", "EDITOR", "GNUPGHOME", "HOME", "LESSCLOSE", "LESSOPEN", "MANPAGER", "NETRC",
            "PAGER", "SSH_ASKPASS*", "SSH_AUTH_SOCK", "SUDO_ASKPASS", "SUDO_EDITOR", "SYSTEMD_EDITOR", "SYSTEMD_PAGER",
            "VISUAL", "WGETRC", "XDG_*",
        ),
    ),
    "network": (
        "change whom programs talk to, or whom they trust",
        "curl(1): ENVIRONMENT; openssl-env(7)",
        (
            "ALL_PROXY", "CURL_CA_BUNDLE", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "OPENSSL_CONF",
            "OPENSSL_CONF_INCLUDE", "OPENSSL_ENGINES", "OPENSSL_MODULES", "REQUESTS_CA_BUNDLE", "SSLKEYLOGFILE",
            "SSL_CERT_DIR", "SSL_CERT_FILE", "all_proxy", "ftp_proxy", "http_proxy", "https_proxy", "no_proxy",
        ),
    ),
    "runner": (
        "change how the runner, or GitLab's own templates, run the job",
        "GitLab Runner: configuration/feature-flags.md; GitLab: doc/ci/variables, doc/user/application_security",
        ("CI_DEBUG_*", "FF_*", "RUNNER_AFTER_SCRIPT_IGNORE_ERRORS", "SECURE_*"),
    ),
}  # fmt: skip


def what_it_does(name: str) -> str:
    """What a variable of this name does beside a script, in words, or "" for one that only carries a value."""
    return next((what for what, _source, patterns in SETS.values() if _fits(name, patterns)), "")


def denied(names: Iterable[str], deny: Iterable[str]) -> list[str]:
    """Which of these names a rule's `deny` list is for: each of its entries is a set's name or a pattern."""
    entries = [pattern for entry in deny for pattern in _patterns(entry)]
    return [name for name in names if _fits(name, entries)]


def _patterns(entry: str) -> tuple[str, ...]:
    if entry == ALL:
        return tuple(pattern for _what, _source, patterns in SETS.values() for pattern in patterns)
    return SETS[entry][2] if entry in SETS else (entry,)


def _fits(name: str, patterns: Iterable[str]) -> bool:
    matches = _compiled(tuple(patterns)).match
    return matches(name) is not None or matches(_assigned(name)) is not None


@cache
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One for all patterns: a job can have thousands of variables, and the page shows each."""
    return re.compile("|".join(map(translate, patterns)) or "(?!)")


def _assigned(name: str) -> str:
    """The variable that bash sets for `export NAME=VALUE`."""
    return name.partition("=")[0].removesuffix("+")
