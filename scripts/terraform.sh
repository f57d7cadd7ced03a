#!/usr/bin/env bash
# Terraform: formatting, validation and tests of every directory, tflint, the tables in the READMEs, and trivy's policies.
#
#   scripts/terraform.sh            check everything
#   scripts/terraform.sh --tables   regenerate the tables in the READMEs
#   scripts/terraform.sh --costs    regenerate the tables in docs/costs.md
#
# Validation and tests run `terraform init`, `validate` and `test`. Where Terraform's registry is unreachable,
# ONEDIGEST_TERRAFORM_CHECK names a program that does the same for the directories in its arguments. Without one they are skipped,
# which is reported, and the exit status is 77 if everything else passes.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tools.sh

mapfile -t directories < <(git ls-files -co --exclude-standard 'terraform/*.tf' | xargs -n 1 dirname | sort -u)

if [[ ${1:-} == --tables ]]; then
  docs=$(tool terraform-docs)
  for directory in "${directories[@]}"; do "$docs" --config "$root/terraform/.terraform-docs.yml" "$directory"; done
  exit
fi

command -v terraform >/dev/null || {
  echo "SKIPPED: nothing of Terraform was checked: it is not installed (1.11 or newer: https://developer.hashicorp.com/terraform/install)"
  exit 77
}
tflint=$(tool tflint) docs=$(tool terraform-docs) trivy=$(tool trivy)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Terraform and its providers decode the providers' schemas again for each run of a test. Collecting garbage less often saves a
# quarter of that processor time and costs some 100 MB.
export GOGC=${GOGC:-800}

# registry_unreachable reports whether the registry that providers come from does not answer.
registry_unreachable() {
  local output
  ! output=$(terraform -chdir="${directories[0]}" init -backend=false -input=false -no-color 2>&1) &&
    grep -qE 'could not connect to registry|failed to request discovery document|could not query provider registry' <<<"$output"
}

# validate DIRECTORY: init, validate and test.
validate() {
  if [[ -n ${ONEDIGEST_TERRAFORM_CHECK:-} ]]; then
    "$ONEDIGEST_TERRAFORM_CHECK" "$1"
    return
  fi
  echo "$1"
  terraform -chdir="$1" init -backend=false -input=false >/dev/null || return 1
  terraform -chdir="$1" validate || return 1
  ! compgen -G "$1/tests/*.tftest.hcl" >/dev/null || terraform -chdir="$1" test
}

# costs regenerates docs/costs.md. The tests of the costs print each table that is not in it, between the file's own markers; they run in a
# copy of the directory without the other tests.
costs() {
  local output
  mkdir -p "$scratch/tree/docs"
  cp -r terraform .github "$scratch/tree/"
  cp docs/costs.md "$scratch/tree/docs/"
  find "$scratch/tree/terraform/aws_infra/tests" -name '*.hcl' ! -name 'costs.tftest.hcl' ! -path '*/mocks/*' -delete
  output=$(cd "$scratch/tree" && validate terraform/aws_infra 2>&1) || true
  awk -v table="" '
    NR == FNR {
      sub(/^[│|] ?/, ""); sub(/^ +/, "")
      if ($0 ~ /^<!-- costs /) { table = $0; rows[table] = "" }
      else if ($0 ~ /^<!-- end/) table = ""
      else if (table != "") rows[table] = rows[table] $0 "\n"
      next
    }
    inside && $0 ~ /^<!-- end/ { inside = 0 }
    !inside { print }
    $0 in rows { printf "%s", rows[$0]; inside = 1 }
  ' <(printf '%s\n' "$output") docs/costs.md >"$scratch/costs.md"
  cp "$scratch/costs.md" docs/costs.md
}

lint() {
  local directory
  for directory in "${directories[@]}"; do
    "$tflint" --config="$root/terraform/.tflint.hcl" --chdir="$directory" || return 1
    "$docs" --config "$root/terraform/.terraform-docs.yml" --output-check "$directory" || return 1
  done
}

# Trivy's checks are embedded in it: it fetches nothing and sends nothing. An exception is a comment, with its reason, at the
# resource that it is about. One process at a time, because trivy locks its cache.
policy() {
  local directory status=0
  local -a values
  for directory in "${directories[@]}"; do
    values=()
    [[ ! -f $directory/terraform.tfvars.example ]] || values=(--tf-vars terraform.tfvars.example)
    (cd "$directory" && "$trivy" config --quiet --skip-check-update --skip-version-check --disable-telemetry --cache-dir "$scratch/trivy" \
      --misconfig-scanners terraform "${values[@]}" --exit-code 1 .) || status=1
  done
  return "$status"
}

# start COMMAND...: runs a command in the background, as soon as fewer commands run than there are processors. What it prints
# appears in one piece when it ends.
start() {
  while (($(jobs -rp | wc -l) >= workers)); do wait -n || true; done
  {
    output=$("$@" 2>&1) || echo "$*" >>"$scratch/failed"
    [[ -z $output ]] || printf '%s\n' "$output"
  } &
}
workers=$(nproc)

if [[ ${1:-} == --costs ]]; then
  costs
  exit
fi

terraform fmt -check -recursive -diff terraform
skipped=0
if [[ -z ${ONEDIGEST_TERRAFORM_CHECK:-} ]] && registry_unreachable; then
  echo "SKIPPED: terraform validate and terraform test: the registry does not answer (ONEDIGEST_TERRAFORM_CHECK names a checker that needs none)"
  skipped=1
else
  # terraform/aws_infra, with most of the tests, comes first and runs beside all the others.
  for directory in "${directories[@]}"; do start validate "$directory"; done
fi
start lint
start policy
wait
if [[ -e $scratch/failed ]]; then
  sed 's/^/FAILED: /' "$scratch/failed"
  exit 1
fi
if ((skipped)); then
  echo "${#directories[@]} directories of Terraform: formatted, linted, documented, within policy; NOT validated, NOT tested"
  exit 77
fi
echo "${#directories[@]} directories of Terraform: formatted, valid, tested, linted, documented, within policy"
