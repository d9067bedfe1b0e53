# Completion of gatehousectl's command line for fish, by what --help says.

function __gatehousectl_words
    set -l words (commandline -opc)
    gatehousectl $words[2] --help 2>/dev/null </dev/null | string replace -rf "^.*gatehousectl $words[2] \[?([a-z][a-z|-]*)\]?.*" '$1' | string split '|' | sort -u
end

function __gatehousectl_options
    set -l words (commandline -opc)
    gatehousectl $words[2] --help 2>/dev/null </dev/null | string match -ra -- '--[a-z][a-z-]+' | sort -u
end

function __gatehousectl_ids
    gatehousectl $argv --json 2>/dev/null </dev/null | string replace -rf '^    "id": "([0-9a-z-]*)",?$' '$1'
end

function __gatehousectl_at -a n
    test (count (commandline -opc)) -eq $n
end

complete -c gatehousectl -n '__gatehousectl_at 1' -f -a "(gatehousectl --help | string replace -rf '^  ([a-z][a-z-]*)  *(.*)' '\$1\t\$2')"
complete -c gatehousectl -n '__gatehousectl_at 2; and not __fish_seen_subcommand_from approve deny' -f -a '(__gatehousectl_words)'
complete -c gatehousectl -n '__gatehousectl_at 2; and __fish_seen_subcommand_from approve deny' -f -a '(__gatehousectl_ids approvals)'
complete -c gatehousectl -n '__gatehousectl_at 3; and __fish_seen_subcommand_from approvals; and __fish_seen_subcommand_from show' -f -a '(__gatehousectl_ids approvals)'
complete -c gatehousectl -n '__gatehousectl_at 3; and __fish_seen_subcommand_from sessions; and __fish_seen_subcommand_from show kill' -f -a '(__gatehousectl_ids sessions)'
complete -c gatehousectl -n 'not __gatehousectl_at 1; and string match -q -- "-*" (commandline -ct)' -f -a '(__gatehousectl_options)'
