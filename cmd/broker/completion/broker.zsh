#compdef broker
# Completion of Gatehouse's broker for zsh: broker completion zsh > "${fpath[1]}/_broker"
_broker() {
	local -a list
	list=("${(@f)$("${words[1]}" complete -- "${(@)words[2,$CURRENT]}" 2>/dev/null)}")
	if [[ -n ${list[*]} ]]; then
		compadd -- "${list[@]}"
	else
		_files
	fi
}
if [[ ${funcstack[1]} == _broker ]]; then
	_broker "$@"
else
	compdef _broker broker
fi
