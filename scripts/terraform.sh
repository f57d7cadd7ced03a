#!/usr/bin/env bash
# Terraform: formatting, validation and tests of every directory, tflint, the tables in the READMEs, and trivy's policies.
#
#   scripts/terraform.sh            all of it
#   scripts/terraform.sh --tables   write the tables in the READMEs again
#
# Validation and tests run `terraform init`, `validate` and `test`. Where Terraform's registry is out of reach,
# ONEDIGEST_TERRAFORM_CHECK names a program that does the same for the directories it is given; without one they are left out,
# this is said, and the exit status is 77 if everything else passes.
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

# unreachable says whether the registry that providers come from does not answer.
unreachable() {
  local said
  ! said=$(terraform -chdir="${directories[0]}" init -backend=false -input=false -no-color 2>&1) &&
    grep -qE 'could not connect to registry|failed to request discovery document|could not query provider registry' <<<"$said"
}

skipped=0
validate() {
  if [[ -n ${ONEDIGEST_TERRAFORM_CHECK:-} ]]; then
    "$ONEDIGEST_TERRAFORM_CHECK" "${directories[@]}"
    return
  fi
  if unreachable; then
    echo "SKIPPED: terraform validate and terraform test: the registry does not answer (ONEDIGEST_TERRAFORM_CHECK names a checker that needs none)"
    skipped=1
    return
  fi
  local directory
  for directory in "${directories[@]}"; do
    echo "$directory"
    terraform -chdir="$directory" init -backend=false -input=false >/dev/null || return 1
    terraform -chdir="$directory" validate || return 1
    ! compgen -G "$directory/tests/*.tftest.hcl" >/dev/null || terraform -chdir="$directory" test || return 1
  done
}

lint() {
  local tflint docs directory
  tflint=$(tool tflint) docs=$(tool terraform-docs)
  for directory in "${directories[@]}"; do
    "$tflint" --config="$root/terraform/.tflint.hcl" --chdir="$directory" || return 1
    "$docs" --config "$root/terraform/.terraform-docs.yml" --output-check "$directory" || return 1
  done
}

# Its checks are embedded in trivy; nothing is fetched and nothing is sent. An exception stands beside what it excepts, as a
# comment with the reason.
policy() {
  local trivy cache directory status=0
  local -a values
  trivy=$(tool trivy)
  cache=$(mktemp -d)
  for directory in "${directories[@]}"; do
    values=()
    [[ ! -f $directory/terraform.tfvars.example ]] || values=(--tf-vars terraform.tfvars.example)
    (cd "$directory" && "$trivy" config --quiet --skip-check-update --skip-version-check --disable-telemetry --cache-dir "$cache" \
      --misconfig-scanners terraform "${values[@]}" --exit-code 1 .) || status=1
  done
  rm -rf "$cache"
  return "$status"
}

terraform fmt -check -recursive -diff terraform
validate
lint
policy
if ((skipped)); then
  echo "${#directories[@]} directories of Terraform: formatted, linted, documented, within policy; NOT validated, NOT tested"
  exit 77
fi
echo "${#directories[@]} directories of Terraform: formatted, valid, tested, linted, documented, within policy"
