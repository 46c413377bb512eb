# Completion of Gatehouse's broker for bash: source <(broker completion bash)
_broker() {
	local line=${COMP_LINE:0:COMP_POINT} words
	# The line as the shell would cut it, but not at colons and equal signs.
	read -ra words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=("")
	local typed=${words[-1]} list
	mapfile -t list < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
	COMPREPLY=("${list[@]}")
	# Readline replaces only what follows the last colon or equal sign.
	local kept=${typed%"${typed##*[:=]}"}
	if [[ -n $kept && $COMP_WORDBREAKS == *[:=]* ]]; then
		COMPREPLY=("${COMPREPLY[@]#"$kept"}")
	fi
}
complete -o default -F _broker broker
