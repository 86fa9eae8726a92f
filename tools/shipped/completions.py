"""Completions for bash, zsh and fish, each from the commands as they are."""

from collections.abc import Sequence

from tools.shipped.commands import Argument, Command

__all__ = ["bash_completion", "fish_completion", "zsh_completion"]

_MADE = "# Made from the program's own parser by `make shipped`."

_BASH = """{made}

_fastvhost() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command= index
    for ((index = 1; index < COMP_CWORD; index++)); do
        case "$command ${{COMP_WORDS[index]}}" in
{words}
        esac
    done
    case "$command $before" in
{values}
    esac
    case "$command" in
{commands}
    esac
}}

complete -F _fastvhost fastvhost
"""


def bash_completion(commands: Sequence[Command]) -> str:
    """A function for bash 4 and later; needs no bash-completion."""
    words, values, offers = [], [], []
    for command in commands:
        key = _key(command)
        if command.words:
            words.append(
                f'            "{_key_of(command.words[:-1])} {command.words[-1]}") command="{key}" ;;'
            )
        values += [
            f'        "{key} {argument.flag}") {_bash_value(argument)}; return ;;'
            for argument in command.arguments
            if argument.flag and argument.metavar
        ]
        offered = " ".join([*command.nested, *_flags(command), "--help"])
        files = any(argument.is_file and not argument.flag for argument in command.arguments)
        more = " -f" if files else ""
        offers.append(f'        "{key}") COMPREPLY=($(compgen{more} -W "{offered}" -- "$word")) ;;')
    return _BASH.format(
        made=_MADE, words="\n".join(words), values="\n".join(values), commands="\n".join(offers)
    )


def _bash_value(argument: Argument) -> str:
    if argument.is_file:
        return 'COMPREPLY=($(compgen -f -- "$word"))'
    if argument.choices:
        return f'COMPREPLY=($(compgen -W "{" ".join(argument.choices)}" -- "$word"))'
    return "COMPREPLY=()"


def fish_completion(commands: Sequence[Command]) -> str:
    """One `complete` for each word, option and file."""
    lines = [_MADE, "", "complete -c fastvhost -f"]
    for command in commands:
        seen = " ".join(command.words)
        when = _fish_condition(command)
        for word in command.nested:
            text = _quoted(_text_of(commands, (*command.words, word)))
            lines.append(f"complete -c fastvhost -n {when} -a {word} -d {text}")
        for argument in command.arguments:
            if argument.flag:
                value = " -r -F" if argument.is_file else " -x" if argument.metavar else ""
                choices = f" -a {_quoted(' '.join(argument.choices))}" if argument.choices else ""
                text = _quoted(argument.text or seen)
                lines.append(
                    f"complete -c fastvhost -n {when} -l {argument.flag[2:]}{value}{choices} -d {text}"
                )
            elif argument.is_file:
                lines.append(f"complete -c fastvhost -n {when} -F")
    return "\n".join(lines) + "\n"


def _fish_condition(command: Command) -> str:
    if not command.words:
        return "__fish_use_subcommand"
    conditions = [f"__fish_seen_subcommand_from {word}" for word in command.words]
    if command.nested:
        conditions.append(f"not __fish_seen_subcommand_from {' '.join(command.nested)}")
    return _quoted("; and ".join(conditions))


_ZSH = """#compdef fastvhost
{made}

_fastvhost() {{
    local command=
    local -i index last=1
    for ((index = 2; index < CURRENT; index++)); do
        case "$command ${{words[index]}}" in
{words}
        esac
    done
    words=("${{(@)words[last,-1]}}")
    ((CURRENT -= last - 1))
    case "$command" in
{commands}
    esac
}}

_fastvhost "$@"
"""


def zsh_completion(commands: Sequence[Command]) -> str:
    """A function for zsh's completion system, to be found on `fpath` as `_fastvhost`."""
    words, offers = [], []
    for command in commands:
        key = _key(command)
        if command.words:
            before, word = _key_of(command.words[:-1]), command.words[-1]
            words.append(f'            "{before} {word}") command="{key}" last=index ;;')
        if command.nested:
            described = " ".join(
                _quoted(f"{word}:{_text_of(commands, (*command.words, word))}") for word in command.nested
            )
            offers.append(f'        "{key}") local -a nested=({described}); _describe command nested ;;')
        else:
            specs = [_zsh_spec(argument) for argument in command.arguments]
            offers.append(
                f'        "{key}") _arguments {" ".join([*specs, _quoted("--help[show help]")])} ;;'
            )
    return _ZSH.format(made=_MADE, words="\n".join(words), commands="\n".join(offers))


def _zsh_spec(argument: Argument) -> str:
    action = "_files" if argument.is_file else f"({' '.join(argument.choices)})" if argument.choices else ""
    text = argument.text.replace("[", "(").replace("]", ")").replace(":", "\\:")
    metavar = argument.metavar.replace(":", "\\:")
    if not argument.flag:
        return _quoted(f"{'*' if argument.many else ''}:{metavar}:{action}")
    value = f":{metavar}:{action}" if metavar else ""
    return _quoted(f"{argument.flag}[{text}]{value}")


def _flags(command: Command) -> list[str]:
    return [argument.flag for argument in command.arguments if argument.flag]


def _key(command: Command) -> str:
    return _key_of(command.words)


def _key_of(words: Sequence[str]) -> str:
    return "".join(f"/{word}" for word in words)


def _text_of(commands: Sequence[Command], words: tuple[str, ...]) -> str:
    return next(command.text for command in commands if command.words == words)


def _quoted(text: str) -> str:
    """In single quotes, for all three shells."""
    return "'" + text.replace("'", "’") + "'"
