"""The scripts that teach bash, zsh and fish to complete `ltgc`, and where each shell looks for them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from ltgc_cli.errors import InputError
from ltgc_cli.text import nearest

Shell = Literal["bash", "zsh", "fish"]

_MARK = "# written by ltgc --install-completion"
"""In the first lines of a script: the file is ltgc's, and may be written anew. zsh wants #compdef above it."""

# The first line of an answer is options of compopt; the rest are words. Word by word, so that no name is expanded.
_BASH = """\
# written by ltgc --install-completion
_ltgc_completion() {
    local how line
    COMPREPLY=()
    {
        IFS= read -r how
        while IFS= read -r line; do COMPREPLY+=("$line"); done
    } < <(_LTGC_COMPLETE=bash _LTGC_LINE="${COMP_LINE:0:COMP_POINT}" _LTGC_BREAKS="$COMP_WORDBREAKS" "$1" 2>/dev/null)
    if [[ $how ]]; then compopt $how 2>/dev/null; fi
    return 0
}
complete -o bashdefault -o default -F _ltgc_completion ltgc
"""

# (Q) takes the quotes away; compadd puts them back where a word needs them.
_ZSH = """\
#compdef ltgc
# written by ltgc --install-completion
_ltgc() {
    local -a answer words_ shown
    local how line
    answer=("${(@f)$(_LTGC_COMPLETE=zsh _LTGC_WORDS="${(F)${(@Q)words[1,CURRENT-1]}}"$'\\n'"${(Q)PREFIX}" \\
        ${(Q)words[1]} 2>/dev/null)}")
    how=$answer[1]
    shift answer
    if [[ $how == files ]]; then
        compset -P '*[=:]'
        _files
        return
    fi
    for line in $answer; do
        words_+=("${line%%$'\\t'*}")
        shown+=("${line%%$'\\t'*}${${line#*$'\\t'}:+  -- ${line#*$'\\t'}}")
    done
    if [[ $how == nospace ]]; then
        compadd -S '' -d shown -a words_
    else
        compadd -l -d shown -a words_
    fi
}
if (( ! $+functions[compdef] )); then autoload -Uz compinit && compinit; fi
compdef _ltgc ltgc
"""

_FISH = """\
# written by ltgc --install-completion
function __ltgc_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l typed (string join \\n -- $words "$current" | string collect -N)
    set -l answer (env _LTGC_COMPLETE=fish _LTGC_WORDS="$typed" $words[1] 2>/dev/null)
    if test "$answer[1]" = files
        __fish_complete_path (commandline -ct)
    else if set -q answer[2]
        string join \\n -- $answer[2..-1]
    end
end
complete --command ltgc --no-files --keep-order --arguments '(__ltgc_complete)'
"""

SCRIPTS: dict[Shell, str] = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def named(shell: str) -> Shell:
    """Returns a shell by its name. Raises InputError for one that has no script here."""
    for known in SCRIPTS:
        if shell == known:
            return known
    raise InputError(f"completion for {shell!r}: one of {', '.join(SCRIPTS)} is wanted{nearest(shell, SCRIPTS)}")


class Installed(NamedTuple):
    """Where a script lies, and the file that sources it; fish finds it by itself."""

    script: Path
    sourced_by: Path | None


def install(shell: Shell, environment: Mapping[str, str] = os.environ) -> Installed:
    """Writes a shell's script where the shell finds it. What a person wrote stays: a line is added at the end at most.

    Raises InputError where a file cannot be written, or where the script's is not one that ltgc wrote.
    """
    from ltgc_cli.files import write_atomically

    places = _places(shell, Path.home(), environment)
    script = places.script.resolve()  # a link to where somebody keeps such files stays one
    try:
        if script.exists() and not _is_ours(script):
            raise InputError(f"{places.script} is there and not by ltgc; move it away, and run this again")
        write_atomically(script, SCRIPTS[shell].encode())
        if places.sourced_by:
            quoted = shlex.quote(str(places.script))
            _add_line(places.sourced_by, f"[ -f {quoted} ] && source {quoted}  # ltgc: completion")
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from None
    return places


def _places(shell: Shell, home: Path, environment: Mapping[str, str]) -> Installed:
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    if shell == "bash":
        # Where bash-completion looks as well; the line in .bashrc is for those who have none.
        return Installed(data / "bash-completion" / "completions" / "ltgc", home / ".bashrc")
    if shell == "zsh":
        return Installed(data / "ltgc" / "completion.zsh", Path(environment.get("ZDOTDIR") or home) / ".zshrc")
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return Installed(config / "fish" / "completions" / "ltgc.fish", None)


def _is_ours(script: Path) -> bool:
    return script.is_file() and _MARK.encode() in script.read_bytes().splitlines()[:2]


def _add_line(path: Path, line: str) -> None:
    before = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
    if line not in before.splitlines():
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{'' if before.endswith(chr(10)) or not before else chr(10)}{line}\n")
