# zsh -f complete.zsh SCRIPT LINE OUT: what zsh itself offers behind LINE, one a line, written to OUT.
zmodload zsh/zpty
export SCRIPT=$1 OUT=$3
zpty session zsh -f -i
zpty -w session 'PS1=; autoload -Uz compinit; compinit -u -D; source $SCRIPT
compadd() {
  # Calls that only ask which words match are answered; the others are what would be shown.
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
  local -a hits
  builtin compadd -A hits "$@"
  print -rl -- $hits >> $OUT
}
ended() { print >> $OUT.ended; exit }
comppostfuncs=(ended); bindkey "^I" complete-word; print > $OUT.ready'
for ((i = 0; i < 400; i++)); do [[ -e $OUT.ready ]] && break; sleep 0.05; done
zpty -n -w session "$2"$'\t'
for ((i = 0; i < 400; i++)); do [[ -e $OUT.ended ]] && break; sleep 0.05; done
zpty -d session
[[ -e $OUT.ended ]]
