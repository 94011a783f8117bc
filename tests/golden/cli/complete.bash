# bash --norc complete.bash SCRIPT WORD...: what the function of `complete -F` offers for the last word, as bash calls it; then "files" where
# bash would go on to file names. The words are as bash splits them, "=" a word of its own.
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
# bash takes the last part of a path.
registered=$(complete -p "${COMP_WORDS[0]##*/}")
function=${registered#*-F }
${function%% *} "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
for reply in "${COMPREPLY[@]}"; do echo "$reply"; done
[[ ${#COMPREPLY[@]} -eq 0 && $registered == *"-o default"* ]] && echo files
exit 0
