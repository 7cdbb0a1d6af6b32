/* What shells load to complete the words of `sluice`: they ask `sluice completion words`, see
 * complete.c. */
#include "client/command/command.h"
#include "client/command/output.h"

/* COMP_WORDS is broken at = and :, which our words have in them, so the line is taken apart anew;
 * and what stands before the last of the two is left out of what is offered, since bash has it. */
static const char bash_script[] =
	"# bash completion of sluice; made by `sluice completion bash`\n"
	"_sluice()\n"
	"{\n"
	"\tlocal line candidate current broken\n"
	"\tlocal -a words lines\n"
	"\tline=${COMP_LINE:0:COMP_POINT}\n"
	"\tread -ra words <<< \"$line\"\n"
	"\t[[ $line == *[[:space:]] ]] && words+=('')\n"
	"\tcurrent=${words[${#words[@]}-1]}\n"
	"\tbroken=${current%\"${current##*[=:]}\"}\n"
	"\tmapfile -t lines < <(\"$1\" completion words -- \"${words[@]:1}\" 2>/dev/null)\n"
	"\tCOMPREPLY=()\n"
	"\tif [[ ${lines[0]} == :files ]]; then\n"
	"\t\tcompopt -o filenames 2>/dev/null\n"
	"\t\tmapfile -t COMPREPLY < <(compgen -f -- \"${current#\"$broken\"}\")\n"
	"\t\treturn\n"
	"\tfi\n"
	"\tfor candidate in \"${lines[@]}\"; do\n"
	"\t\tcandidate=${candidate%%$'\\t'*}\n"
	"\t\t[[ $candidate == *= ]] && compopt -o nospace 2>/dev/null\n"
	"\t\tCOMPREPLY+=(\"${candidate#\"$broken\"}\")\n"
	"\tdone\n"
	"}\n"
	"complete -F _sluice sluice\n";

static const char zsh_script[] =
	"#compdef sluice\n"
	"# zsh completion of sluice; made by `sluice completion zsh`\n"
	"_sluice()\n"
	"{\n"
	"\tlocal line word\n"
	"\tlocal -a lines described settings\n"
	"\tlines=(\"${(@f)$(\"${words[1]}\" completion words -- \"${(@)words[2,CURRENT]}\" "
	"2>/dev/null)}\")\n"
	"\tif [[ ${lines[1]} == :files ]]; then\n"
	"\t\t_files\n"
	"\t\treturn\n"
	"\tfi\n"
	"\tfor line in \"${lines[@]}\"; do\n"
	"\t\tword=${line%%$'\\t'*}\n"
	"\t\t[[ -z $word ]] && continue\n"
	"\t\tline=\"${word//:/\\\\:}:${line#\"$word\"}\"\n"
	"\t\tif [[ $word == *= ]]; then\n"
	"\t\t\tsettings+=(\"${line/$'\\t'/}\")\n"
	"\t\telse\n"
	"\t\t\tdescribed+=(\"${line/$'\\t'/}\")\n"
	"\t\tfi\n"
	"\tdone\n"
	"\t(( ${#settings} )) && _describe -V sluice settings -S ''\n"
	"\t(( ${#described} )) && _describe -V sluice described\n"
	"}\n"
	"if [[ ${funcstack[1]} == _sluice ]]; then\n"
	"\t_sluice \"$@\"\n"
	"else\n"
	"\tcompdef _sluice sluice\n"
	"fi\n";

static const char fish_script[] =
	"# fish completion of sluice; made by `sluice completion fish`\n"
	"function __sluice_complete\n"
	"\tset -l words (commandline -opc)\n"
	"\tset -l current (commandline -ct)\n"
	"\tset -l lines ($words[1] completion words -- $words[2..-1] \"$current\" 2>/dev/null)\n"
	"\tif test \"$lines[1]\" = :files\n"
	"\t\t__fish_complete_path \"$current\"\n"
	"\telse if set -q lines[1]\n"
	"\t\tprintf '%s\\n' $lines\n"
	"\tend\n"
	"end\n"
	"complete -c sluice -f -a '(__sluice_complete)'\n";

static int print_script(const char *script)
{
	fputs(script, stdout);
	return output_finish(EXIT_DONE);
}

int verb_completion_bash(struct invocation *invocation)
{
	return print_script(bash_script);
}

int verb_completion_zsh(struct invocation *invocation)
{
	return print_script(zsh_script);
}

int verb_completion_fish(struct invocation *invocation)
{
	return print_script(fish_script);
}
