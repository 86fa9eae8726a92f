# Made from the program's own parser by `make shipped`.

_fastvhost() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= index
    for ((index = 1; index < COMP_CWORD; index++)); do
        case "$command ${COMP_WORDS[index]}" in
            " serve") command="/serve" ;;
            " reload") command="/reload" ;;
            " query") command="/query" ;;
            " top") command="/top" ;;
            " explain") command="/explain" ;;
            " check-config") command="/check-config" ;;
            " domains") command="/domains" ;;
            "/domains list") command="/domains/list" ;;
            "/domains show") command="/domains/show" ;;
            "/domains add") command="/domains/add" ;;
            "/domains remove") command="/domains/remove" ;;
            "/domains approve") command="/domains/approve" ;;
            "/domains reject") command="/domains/reject" ;;
            "/domains confirm") command="/domains/confirm" ;;
            "/domains token") command="/domains/token" ;;
            "/domains verify") command="/domains/verify" ;;
            "/domains import") command="/domains/import" ;;
            "/domains export") command="/domains/export" ;;
        esac
    done
    case "$command $before" in
        "/serve --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/serve --pid-file") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/serve --log-level") COMPREPLY=($(compgen -W "info warning error" -- "$word")); return ;;
        "/reload --pid-file") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/query --source") COMPREPLY=(); return ;;
        "/query --server") COMPREPLY=(); return ;;
        "/query --timeout") COMPREPLY=(); return ;;
        "/top --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/top --server") COMPREPLY=(); return ;;
        "/top --interval") COMPREPLY=(); return ;;
        "/explain --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/explain --source") COMPREPLY=(); return ;;
        "/explain --server") COMPREPLY=(); return ;;
        "/domains/list --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/domains/list --state") COMPREPLY=($(compgen -W "active pending disabled rejected removed" -- "$word")); return ;;
        "/domains/show --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/domains/add --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/domains/remove --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/domains/approve --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/domains/reject --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/domains/confirm --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/domains/token --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/domains/verify --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/domains/import --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
        "/domains/export --config") COMPREPLY=($(compgen -f -- "$word")); return ;;
    esac
    case "$command" in
        "") COMPREPLY=($(compgen -W "serve reload query top explain check-config domains --version --help" -- "$word")) ;;
        "/serve") COMPREPLY=($(compgen -W "--config --pid-file --log-level --help" -- "$word")) ;;
        "/reload") COMPREPLY=($(compgen -W "--pid-file --help" -- "$word")) ;;
        "/query") COMPREPLY=($(compgen -W "--source --server --timeout --help" -- "$word")) ;;
        "/top") COMPREPLY=($(compgen -W "--config --server --interval --once --help" -- "$word")) ;;
        "/explain") COMPREPLY=($(compgen -W "--config --json --daemon --walk --source --server --help" -- "$word")) ;;
        "/check-config") COMPREPLY=($(compgen -f -W "--help" -- "$word")) ;;
        "/domains") COMPREPLY=($(compgen -W "list show add remove approve reject confirm token verify import export --help" -- "$word")) ;;
        "/domains/list") COMPREPLY=($(compgen -W "--config --state --json --help" -- "$word")) ;;
        "/domains/show") COMPREPLY=($(compgen -W "--config --json --help" -- "$word")) ;;
        "/domains/add") COMPREPLY=($(compgen -W "--config --help" -- "$word")) ;;
        "/domains/remove") COMPREPLY=($(compgen -W "--config --help" -- "$word")) ;;
        "/domains/approve") COMPREPLY=($(compgen -W "--config --help" -- "$word")) ;;
        "/domains/reject") COMPREPLY=($(compgen -W "--config --help" -- "$word")) ;;
        "/domains/confirm") COMPREPLY=($(compgen -W "--config --dry-run --help" -- "$word")) ;;
        "/domains/token") COMPREPLY=($(compgen -W "--config --help" -- "$word")) ;;
        "/domains/verify") COMPREPLY=($(compgen -W "--config --help" -- "$word")) ;;
        "/domains/import") COMPREPLY=($(compgen -f -W "--config --help" -- "$word")) ;;
        "/domains/export") COMPREPLY=($(compgen -f -W "--config --help" -- "$word")) ;;
    esac
}

complete -F _fastvhost fastvhost
